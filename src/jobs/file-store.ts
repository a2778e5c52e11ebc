/** Jobs in a folder that every server reaches: written aside, then renamed. */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Stored } from './job.ts'
import { type Pieces, type Store, storeProblem } from './store.ts'

/** Bytes written at once. */
const SLICE = 4 << 20
const READ_BYTES = 1 << 20

export class FileStore implements Store {
  readonly mostBytes: number = Number.POSITIVE_INFINITY
  readonly #root: string

  constructor(root: URL | string) {
    this.#root = root instanceof URL ? fileURLToPath(root) : root
  }

  async put(folder: string, pieces: () => Pieces): Promise<Stored> {
    const place = join(this.#root, folder)
    const aside = join(place, `.${randomUUID()}`)
    try {
      await mkdir(place, { recursive: true })
      const file = await open(aside, 'wx', 0o600)
      const { digest, bytes } = await write(file, pieces()).finally(() => file.close())
      await rename(aside, join(place, digest))
      return { name: `${folder}/${digest}`, digest, bytes }
    } catch (error) {
      await rm(aside, { force: true }).catch(() => {})
      throw isOfSystem(error) ? storeProblem(error) : error
    }
  }

  async *read(name: string, from = 0, to = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array> {
    if (to <= from) return
    const file = createReadStream(join(this.#root, name), {
      start: from,
      end: to - 1,
      highWaterMark: READ_BYTES,
    })
    try {
      yield* file
    } catch (error) {
      throw isOfSystem(error) ? storeProblem(error) : error
    } finally {
      file.destroy()
    }
  }

  async remove(folder: string): Promise<void> {
    await rm(join(this.#root, folder), { recursive: true, force: true })
  }

  async close(): Promise<void> {}
}

async function write(file: FileHandle, pieces: Pieces): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += SLICE) {
      const slice = piece.subarray(at, at + SLICE)
      hash.update(slice)
      for (let done = 0; done < slice.length; ) {
        done += (await file.write(slice, done, slice.length - done)).bytesWritten
      }
      if (at > 0) await nextTurn()
    }
    bytes += piece.length
  }
  // a name in Redis must not outlive what it names
  await file.sync()
  return { digest: hash.digest('hex'), bytes }
}

function isOfSystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}
