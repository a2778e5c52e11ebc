/** Where the inputs and results of jobs lie: pieces of bytes, each named by its job and its digest. */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Problem } from '../problem.ts'
import type { Stored } from './job.ts'

export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface Store {
  /** most bytes of a piece, where there is such a bound */
  readonly mostBytes: number
  /**
   * Keeps bytes in a job's folder. `pieces` may be called more than once, and gives the same bytes each time. What is there
   * already is not written again. A piece is there whole or not at all.
   */
  put(folder: string, pieces: () => Pieces): Promise<Stored>
  /** From byte `from` up to `to`. */
  read(name: string, from?: number, to?: number): AsyncIterable<Uint8Array>
  /** Everything of a job goes. */
  remove(folder: string): Promise<void>
  close(): Promise<void>
}

/** All that was kept under a name; what is no longer that is a 503, before its last piece is given. */
export async function* readWhole(store: Store, { name, bytes, digest }: Stored): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let read = 0
  let last: Uint8Array | undefined
  for await (const piece of store.read(name)) {
    read += piece.length
    if (read > bytes) break
    hash.update(piece)
    if (last !== undefined) yield last
    last = piece
  }
  if (read !== bytes) throw damaged(`${bytes} bytes`, `${read > bytes ? 'more' : read}`)
  const found = hash.digest('hex')
  if (found !== digest) throw damaged(`bytes of SHA-256 ${digest}`, found)
  if (last !== undefined) yield last
}

/** Bytes `from` up to `to` of it, all of them. */
export async function* readPart(
  store: Store,
  name: string,
  from: number,
  to: number,
): AsyncGenerator<Uint8Array> {
  let read = 0
  for await (const piece of store.read(name, from, to)) {
    read += piece.length
    yield piece
  }
  if (read !== to - from) throw damaged(`${to - from} bytes`, `${read}`)
}

function damaged(expected: string, got: string): Problem {
  const detail = `the store of jobs has not kept what was given to it: expected ${expected}, got ${got}`
  return new Problem('STORE_UNAVAILABLE', detail, { retryAfter: RETRY_SECONDS })
}

/** SHA-256 of bytes, other requests getting their turn in between. */
export async function digestOf(pieces: Pieces): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of pieces) {
    bytes += piece.length
    for (let at = 0; at < piece.length; at += SLICE) {
      hash.update(piece.subarray(at, at + SLICE))
      if (at > 0) await nextTurn()
    }
  }
  return { digest: hash.digest('hex'), bytes }
}

/** About a millisecond. */
const SLICE = 1 << 20

/** What went wrong with a store, as it is told; its own words are for the log. */
export function storeProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code, name } = error as { code?: string; name?: string }
  const why =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'the disk of the store is full'
      : `the store of jobs does not answer as it should (${code ?? name ?? 'unknown'})`
  return new Problem('STORE_UNAVAILABLE', why, { retryAfter: RETRY_SECONDS })
}

const RETRY_SECONDS = 10
