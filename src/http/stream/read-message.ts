/** A client's message → the message, checked; of a `start` with its tensors in shared memory. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  CLIENT_MESSAGES,
  type ClientMessage,
  RunId,
  type StartMessage,
} from '../../endpoints/stream-messages.ts'
import type { Region } from '../../engine/arena.ts'
import type { Engine } from '../../engine/engine.ts'
import { parseBody } from '../../formats/body.ts'
import { name } from '../../formats/json-tensor.ts'
import { Body, SCAN_HERE } from '../../pipeline/decode.ts'
import { schemaProblem } from '../../pipeline/field-errors.ts'
import { fieldProblem } from '../../problem.ts'

/** Bytes moved at once, so that a large message does not hold the event loop. */
const SLICE = 4 * 1024 * 1024

export type Received =
  | { message: StartMessage; body: Body }
  | { message: Exclude<ClientMessage, StartMessage>; body?: undefined }

/** Thrown with what could be told of a message that is wrong. */
export class BadMessage extends Error {
  /** the id of the run it would have started */
  readonly start: string | undefined

  constructor(cause: unknown, start?: string) {
    super('a message that is wrong', { cause })
    this.start = start
  }
}

export class MessageReader {
  readonly #compute: Engine
  /** short messages are looked at here: they must get through when there is no memory left for a start */
  readonly #desk: Region

  constructor(compute: Engine) {
    this.#compute = compute
    this.#desk = compute.allocate(SCAN_HERE)
  }

  async read(message: Buffer, binary: boolean): Promise<Received> {
    if (!binary && message.length <= SCAN_HERE) {
      const bytes = this.#view(this.#desk, message.length)
      bytes.set(message)
      const scan = (text: Uint8Array) => this.#compute.scanHere(text)
      const tree = await attempt(() =>
        parseBody('json', bytes, { scan, scanHere: scan, share: text => text }),
      )
      if (typeOf(tree) !== 'start') return { message: check(tree) as Exclude<ClientMessage, StartMessage> }
    }
    const body = await attempt(() => this.#share(message, binary))
    try {
      const checked = check(body.tree)
      if (checked.type === 'start') return { message: checked, body }
      body.release()
      return { message: checked }
    } catch (error) {
      body.release()
      throw error
    }
  }

  async #share(message: Buffer, binary: boolean): Promise<Body> {
    const region = this.#compute.allocate(message.length)
    const bytes = this.#view(region, message.length)
    for (let at = 0; at < message.length; at += SLICE) {
      if (at > 0) await nextTurn()
      bytes.set(message.subarray(at, at + SLICE), at)
    }
    return Body.parse(binary ? 'safetensors' : 'json', { region, bytes }, this.#compute)
  }

  #view({ offset }: Region, length: number): Uint8Array {
    return new Uint8Array(this.#compute.arena.memory.buffer, offset, length)
  }
}

async function attempt<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw new BadMessage(error)
  }
}

function check(tree: unknown): ClientMessage {
  const type = typeOf(tree)
  if (type === undefined) {
    const types = Object.keys(CLIENT_MESSAGES)
    const got = isObject(tree) ? tree.type : tree
    const path = isObject(tree) ? '/type' : ''
    const wanted = isObject(tree) ? `one of ${types.join(', ')}` : 'an object'
    throw new BadMessage(fieldProblem('INVALID_REQUEST', path, `expected ${wanted}, got ${name(got)}`))
  }
  const parsed = CLIENT_MESSAGES[type].safeParse(tree)
  if (parsed.success) return parsed.data
  const named = RunId.safeParse((tree as Record<string, unknown>).id)
  throw new BadMessage(schemaProblem(parsed.error, tree), type === 'start' ? named.data : undefined)
}

function typeOf(tree: unknown): keyof typeof CLIENT_MESSAGES | undefined {
  if (!isObject(tree) || typeof tree.type !== 'string') return undefined
  return Object.hasOwn(CLIENT_MESSAGES, tree.type) ? (tree.type as keyof typeof CLIENT_MESSAGES) : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null
}
