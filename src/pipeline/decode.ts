/**
 * Bytes → a tree with tensors located in it. The bytes stand in shared memory, where the workers find them. A large body is
 * copied there as it arrives; a small one is collected first. Memory is taken for what has come, whatever was announced.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Region } from '../engine/arena.ts'
import type { Engine } from '../engine/engine.ts'
import { isBareNumber } from '../formats/bare-numbers.ts'
import { type BodyFormat, jsonTree, safetensorsTree } from '../formats/body.ts'
import { fieldProblem, Problem } from '../problem.ts'
import type { Arrival, Arrivals } from './arrivals.ts'
import { freeNow, GrowingBody } from './growing-body.ts'
import { pace } from './reading.ts'
import { quotedTree, SCAN_HERE, scanned, scanOf } from './scan.ts'

/** Bodies up to this size come in a piece or two, and are not counted while they are on their way. */
export const SMALL = 64 * 1024
/** From this size on bodies stand in shared memory before they are whole. */
const LARGE = 1024 * 1024
/** Chunks that are kept apart, at most: each takes memory beside its bytes. */
const MOST_CHUNKS = 256
/** After a grace time, bytes a second that a body must have come at, on average. */
const GRACE_SECONDS = 5
const LEAST_RATE = 16 * 1024
const NOTHING = new Uint8Array(0)

/** Where a body's bytes come from. */
export interface Source {
  readonly format: BodyFormat
  /** of JSON: the bytes of its text, where bytes of tensors follow it */
  readonly textBytes?: number | undefined
  /** JSON in which NaN and infinities may stand without quotes */
  readonly bareNumbers?: boolean
  /** 0 where its sender has not said */
  readonly declaredBytes: number
  /** whose bytes they are: clients share the room for what is on its way */
  readonly client: string
  /**
   * Pushes the bytes (an async iterator costs a small request more than all else about its body), and waits where `take`
   * says so; ends when it throws or rejects.
   */
  read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<void>
  /** Ends `read` early, which then rejects with this. Without it the bytes are here already: nothing to wait for. */
  cancel?(problem: Problem): void
}

/** What reading bodies needs. */
export interface Intake {
  engine: Engine
  arrivals: Arrivals
  mostBytes: number
  /** time a body may take to arrive */
  bodySeconds: number
  /** where clients are told from each other by keys */
  budget?: FlopBudget | undefined
}

/** What clients may compute in a minute. */
export interface FlopBudget {
  /** Takes what a program costs from its client's budget, or fails with a 429. */
  spend(client: string | undefined, flops: number): void | Promise<void>
  /** Why it would not be taken now. */
  refusal(client: string | undefined, flops: number): Promise<Problem | undefined>
  /** Why no minute ever has as much. */
  never(client: string, flops: number): Promise<Problem | undefined>
}

/** A body that has been read. Disposing it frees the memory that its tensors stand in. */
export class Decoded implements Disposable {
  readonly format: BodyFormat
  tree: unknown
  /** of a file: keys of its metadata beside `request` */
  beside: string[] = []
  /** what follows the text of JSON */
  rest: Uint8Array = NOTHING
  /** the body as it came, in the memory that goes with it */
  whole: Uint8Array | undefined
  readonly engine: Engine
  readonly #regions: Region[] = []

  constructor(format: BodyFormat, engine: Engine, tree?: unknown) {
    this.format = format
    this.tree = tree
    this.engine = engine
  }

  get bytes(): number {
    return this.#regions.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Shared memory that goes with the body. */
  room(bytes: number): Uint8Array {
    const region = this.engine.allocate(bytes)
    this.#regions.push(region)
    return new Uint8Array(this.engine.arena.memory.buffer, region.offset, bytes)
  }

  /** The same once there is some. */
  async take(bytes: number): Promise<Uint8Array> {
    return this.keep(await this.engine.room(bytes), bytes)
  }

  /** A region that goes with the body from now on. */
  keep(region: Region, bytes: number): Uint8Array {
    this.#regions.push(region)
    return new Uint8Array(this.engine.arena.memory.buffer, region.offset, bytes)
  }

  /** JSON text that came as a string of the body, as a tree. */
  async read(text: Uint8Array): Promise<unknown> {
    const copy = this.room(text.length)
    copy.set(text)
    return jsonTree(copy, await scanOf(this.engine, copy))
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions.splice(0)) this.engine.arena.free(region)
  }
}

/** Throws 400, 408, 413 or 503; nothing is left of the body then. */
export async function decode(source: Source, intake: Intake): Promise<Decoded> {
  const { engine } = intake
  const body = new Decoded(source.format, engine)
  try {
    const bytes = await read(source, body, intake)
    body.whole = bytes
    if (source.format === 'json') {
      // some clients begin their text with a byte order mark
      const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
      const { textBytes = bytes.length, bareNumbers = false } = source
      if (textBytes > bytes.length) throw textTooShort(textBytes, bytes.length)
      const text = bytes.subarray(marked ? 3 : 0, textBytes)
      body.rest = bytes.subarray(textBytes)
      const here = text.length <= SCAN_HERE ? engine.scanHere(text) : undefined
      const scan = here ?? (await scanned(engine, text))
      const bare = bareNumbers && !scan.ok && isBareNumber(text, scan.fault.position)
      body.tree = bare ? await quotedTree(engine, text, bytes => body.take(bytes)) : jsonTree(text, scan)
      // what comes next goes over the whole tree once more
      if (here === undefined) await nextTurn()
    } else {
      const share = (text: Uint8Array) => {
        const copy = body.room(text.length)
        copy.set(text)
        return copy
      }
      Object.assign(body, await safetensorsTree(bytes, share, header => scanOf(engine, header)))
      if (bytes.length > SCAN_HERE) await nextTurn()
    }
    return body
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  }
}

async function read(source: Source, body: Decoded, intake: Intake): Promise<Uint8Array> {
  const { declaredBytes } = source
  const { mostBytes } = intake
  if (declaredBytes > mostBytes) throw tooLarge(declaredBytes, mostBytes)
  if (source.cancel === undefined) return copyAll(source, body)
  const arriving = new ArrivingBody(source, intake)
  await arriving.receive()
  return arriving.moveTo(body)
}

async function copyAll(source: Source, body: Decoded): Promise<Uint8Array> {
  const region = await body.engine.room(source.declaredBytes)
  const bytes = body.keep(region, source.declaredBytes)
  let at = 0
  await source.read(chunk => {
    bytes.set(chunk, at)
    at += chunk.length
    return undefined
  })
  return bytes
}

/** What has come of a body: chunks, and in shared memory when they have become many. */
class ArrivingBody {
  readonly #source: Source
  readonly #intake: Intake
  #chunks: Buffer[] = []
  #length = 0
  #arrival: Arrival | undefined
  #growing: GrowingBody | undefined

  constructor(source: Source, intake: Intake) {
    this.#source = source
    this.#intake = intake
  }

  /** Where it throws, nothing is left of the body. */
  async receive(): Promise<void> {
    const { mostBytes, bodySeconds } = this.#intake
    using clock = new ArrivalClock(bodySeconds, problem => this.#source.cancel?.(problem))
    try {
      await this.#source.read(chunk => {
        this.#length += chunk.length
        clock.bytes = this.#length
        if (this.#length > mostBytes) throw tooLarge(this.#length, mostBytes)
        const wait = this.#growing === undefined ? this.#collect(chunk) : this.#growing.take([chunk])
        return wait ?? (this.#length > SMALL ? pace(chunk.length) : undefined)
      })
    } catch (error) {
      this.#growing?.[Symbol.dispose]()
      throw error
    } finally {
      this.#arrival?.[Symbol.dispose]()
    }
  }

  #collect(chunk: Buffer): Promise<void> | undefined {
    const chunks = this.#chunks
    chunks.push(chunk)
    if (chunks.length > MOST_CHUNKS) chunks.splice(0, chunks.length, Buffer.concat(chunks))
    if (this.#length <= SMALL) return undefined
    const { declaredBytes, client } = this.#source
    const { arrivals, engine, mostBytes } = this.#intake
    this.#arrival ??= arrivals.begin(client, problem => this.#source.cancel?.(problem))
    if (this.#length <= LARGE) {
      this.#arrival.resize(this.#length)
      return undefined
    }
    this.#growing = new GrowingBody(engine, this.#arrival, declaredBytes || mostBytes)
    this.#chunks = []
    return this.#growing.take(chunks)
  }

  /** To be called when all has come. */
  moveTo(body: Decoded): Uint8Array {
    if (this.#growing !== undefined) return body.keep(this.#growing.end(), this.#length)
    const bytes = body.room(this.#length)
    let at = 0
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at)
      at += chunk.length
      if (this.#length > SMALL) freeNow(chunk)
    }
    return bytes
  }
}

function textTooShort(textBytes: number, bytes: number): Problem {
  const message = `expected a body of at least ${textBytes} bytes (its header says that its text has as many), got ${bytes}`
  return fieldProblem('INVALID_JSON', '', message)
}

function tooLarge(length: number, most: number): Problem {
  return new Problem('BODY_TOO_LARGE', `expected at most ${most} bytes, got ${length} or more`)
}

/** Ends what does not arrive: as a whole in time, and as fast as any client can. */
export class ArrivalClock implements Disposable {
  /** that have come */
  bytes = 0
  readonly #seconds: number
  readonly #late: (problem: Problem) => void
  #begun = performance.now()
  #pausedAt: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(seconds: number, late: (problem: Problem) => void) {
    this.#seconds = seconds
    this.#late = late
    this.#timer = setTimeout(() => this.#check(), Math.min(seconds, GRACE_SECONDS) * 1000)
  }

  /** Nothing is read: the time is not the client's. */
  pause(): void {
    clearTimeout(this.#timer)
    this.#pausedAt ??= performance.now()
  }

  resume(): void {
    if (this.#pausedAt === undefined) return
    this.#begun += performance.now() - this.#pausedAt
    this.#pausedAt = undefined
    this.#check()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }

  #check(): void {
    const seconds = (performance.now() - this.#begun) / 1000
    const due = GRACE_SECONDS + this.bytes / LEAST_RATE
    const wait = Math.min(this.#seconds, due) - seconds
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#check(), Math.ceil(wait * 1000))
      return
    }
    const expected =
      seconds >= this.#seconds
        ? `expected the whole body within ${this.#seconds} s`
        : `expected at least ${LEAST_RATE} bytes a second after the first ${GRACE_SECONDS} s`
    this.#late(new Problem('BODY_TIMEOUT', `${expected}, got ${this.bytes} bytes in ${seconds.toFixed(1)} s`))
  }
}
