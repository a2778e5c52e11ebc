/** Jobs of one process: a folder of its own among the temporary files, bounded, and gone with the process. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '../problem.ts'
import { FileStore } from './file-store.ts'
import type { Stored } from './job.ts'
import { type Pieces, type Store, storeProblem } from './store.ts'

export class TemporaryStore implements Store {
  readonly mostBytes: number
  /** made when the first job comes */
  #opening: Promise<{ path: string; files: FileStore }> | undefined
  /** by job */
  readonly #taken = new Map<string, number>()
  #total = 0

  constructor(mostBytes: number) {
    this.mostBytes = mostBytes
  }

  async put(folder: string, pieces: () => Pieces): Promise<Stored> {
    const { files } = await this.#open()
    const counted = async function* (this: TemporaryStore) {
      for await (const piece of pieces()) {
        this.#take(folder, piece.length)
        yield piece
      }
    }
    const before = this.#taken.get(folder) ?? 0
    try {
      return await files.put(folder, () => counted.call(this))
    } catch (error) {
      this.#take(folder, before - (this.#taken.get(folder) ?? 0))
      throw error
    }
  }

  async *read(name: string, from?: number, to?: number): AsyncGenerator<Uint8Array> {
    const { files } = await this.#open()
    yield* files.read(name, from, to)
  }

  async remove(folder: string): Promise<void> {
    if (this.#opening === undefined) return
    const { files } = await this.#opening
    await files.remove(folder)
    this.#total -= this.#taken.get(folder) ?? 0
    this.#taken.delete(folder)
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined)
    this.#opening = undefined
    if (opened !== undefined) await new FileStore(opened.path).remove('.')
  }

  #open(): Promise<{ path: string; files: FileStore }> {
    this.#opening ??= mkdtemp(join(tmpdir(), `attention-server-jobs-${process.pid}-`)).then(
      path => ({ path, files: new FileStore(path) }),
      error => {
        this.#opening = undefined
        throw storeProblem(error)
      },
    )
    return this.#opening
  }

  #take(folder: string, bytes: number): void {
    if (bytes > 0 && this.#total + bytes > this.mostBytes) {
      const detail = `expected at most ${this.mostBytes} bytes of jobs in all, got ${this.#total + bytes}; results go when they expire`
      throw new Problem('STORE_UNAVAILABLE', detail, { retryAfter: 60 })
    }
    this.#taken.set(folder, (this.#taken.get(folder) ?? 0) + bytes)
    this.#total += bytes
  }
}
