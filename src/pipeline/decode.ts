/**
 * Bytes → a tree with tensors located in it. The bytes stand in shared memory, where the workers find them. A large body
 * that announces its length is copied as it arrives; a small one, or one without a length, is collected first.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Region } from '../engine/arena.ts'
import type { Engine } from '../engine/engine.ts'
import { type BodyFormat, jsonTree, safetensorsTree } from '../formats/body.ts'
import { Problem } from '../problem.ts'

/** JSON text up to this size is scanned on the main thread: less than what a crossing to a worker takes. */
export const SCAN_HERE = 64 * 1024
/** Bodies up to this size come in a piece or two: not worth memory before they are here. */
const SMALL = 64 * 1024
/** Bytes moved at once, so that a large body does not hold the event loop. */
export const SLICE = 4 * 1024 * 1024

/** Where a body's bytes come from. */
export interface Source {
  readonly format: BodyFormat
  /** 0 where its sender has not said */
  readonly declaredBytes: number
  /** Pushes the bytes (an async iterator costs a small request more than all else about its body); ends when `take` throws. */
  read(take: (chunk: Buffer) => void): Promise<void>
  /** Ends `read` early, which then rejects with this. Without it the bytes are here already: nothing to wait for. */
  cancel?(problem: Problem): void
}

/** What reading bodies needs. */
export interface Intake {
  engine: Engine
  arriving: ArrivingBytes
  mostBytes: number
  /** time a body may take to arrive */
  bodySeconds: number
}

/** A body that has been read. Disposing it frees the memory that its tensors stand in. */
export class Decoded implements Disposable {
  readonly format: BodyFormat
  tree: unknown
  readonly #engine: Engine
  readonly #regions: Region[] = []

  constructor(format: BodyFormat, engine: Engine, tree?: unknown) {
    this.format = format
    this.tree = tree
    this.#engine = engine
  }

  /** Shared memory that goes with the body. */
  room(bytes: number): Uint8Array {
    const region = this.#engine.allocate(bytes)
    this.#regions.push(region)
    return new Uint8Array(this.#engine.arena.memory.buffer, region.offset, bytes)
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions.splice(0)) this.#engine.arena.free(region)
  }
}

/** Throws 400, 408, 413 or 503; nothing is left of the body then. */
export async function decode(source: Source, intake: Intake): Promise<Decoded> {
  const { engine } = intake
  const body = new Decoded(source.format, engine)
  try {
    const bytes = await read(source, body, intake)
    if (source.format === 'json') {
      const scan = bytes.length <= SCAN_HERE ? engine.scanHere(bytes) : await engine.scan(bytes)
      body.tree = jsonTree(bytes, scan)
    } else {
      const share = (text: Uint8Array) => {
        const copy = body.room(text.length)
        copy.set(text)
        return copy
      }
      const scan = (text: Uint8Array) =>
        text.length <= SCAN_HERE ? engine.scanHere(text) : engine.scan(text)
      body.tree = await safetensorsTree(bytes, share, scan)
    }
    return body
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  }
}

async function read(source: Source, body: Decoded, intake: Intake): Promise<Uint8Array> {
  const { declaredBytes } = source
  const { mostBytes, bodySeconds } = intake
  if (declaredBytes > mostBytes) throw tooLarge(declaredBytes, mostBytes)
  if (source.cancel === undefined) return copyAsItComes(source, body)
  const late = () =>
    source.cancel?.(new Problem('BODY_TIMEOUT', `expected the whole body within ${bodySeconds} s`))
  const clock = setTimeout(late, bodySeconds * 1000)
  try {
    if (declaredBytes <= SMALL) return await joined(await collect(source, intake), body)
    using arrival = intake.arriving.begin()
    arrival.add(declaredBytes)
    return await copyAsItComes(source, body)
  } finally {
    clearTimeout(clock)
  }
}

async function copyAsItComes(source: Source, body: Decoded): Promise<Uint8Array> {
  const bytes = body.room(source.declaredBytes)
  let at = 0
  await source.read(chunk => {
    bytes.set(chunk, at)
    at += chunk.length
    if (source.cancel !== undefined) freeNow(chunk)
  })
  return bytes
}

async function collect(source: Source, { arriving, mostBytes }: Intake): Promise<Buffer[]> {
  using arrival = arriving.begin()
  const chunks: Buffer[] = []
  let length = 0
  await source.read(chunk => {
    length += chunk.length
    if (length > mostBytes) throw tooLarge(length, mostBytes)
    arrival.add(chunk.length)
    chunks.push(chunk)
  })
  return chunks
}

async function joined(chunks: Buffer[], body: Decoded): Promise<Uint8Array> {
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const bytes = body.room(length)
  let at = 0
  let moved = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
    if (at - moved < SLICE) continue
    moved = at
    await nextTurn()
  }
  return bytes
}

function tooLarge(length: number, most: number): Problem {
  return new Problem('BODY_TOO_LARGE', `expected at most ${most} bytes, got ${length} or more`)
}

/**
 * Frees a chunk that is its whole buffer and has been copied. Left to the garbage collector, chunks pile up until it
 * stops the world: 20 ms for every 64 MB received, measured.
 */
function freeNow(chunk: Buffer): void {
  if (chunk.byteLength === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer)
    chunk.buffer.transfer(0)
}

/**
 * Bytes of bodies that are on their way, as announced or as they have come: bounded over all requests, so that clients who
 * never finish cannot take the memory from those who do.
 */
export class ArrivingBytes {
  readonly #engine: Engine
  #total = 0

  constructor(engine: Engine) {
    this.#engine = engine
  }

  get total(): number {
    return this.#total
  }

  begin(): Arrival {
    return new Arrival(this)
  }

  /** At most half of the memory is for bodies that are not whole yet. */
  add(bytes: number): void {
    this.#total += bytes
    if (this.#total > this.#engine.arena.limit / 2) throw this.#engine.busy('too many bodies are arriving')
  }

  subtract(bytes: number): void {
    this.#total -= bytes
  }
}

/** One body on its way: what it has added is subtracted when it ends, and nothing else. */
class Arrival implements Disposable {
  readonly #all: ArrivingBytes
  #added = 0

  constructor(all: ArrivingBytes) {
    this.#all = all
  }

  add(bytes: number): void {
    this.#added += bytes
    this.#all.add(bytes)
  }

  [Symbol.dispose](): void {
    this.#all.subtract(this.#added)
  }
}
