/** A client's message → the message, checked; of a `start` with its tensors in shared memory. */
import { parseBody } from '../codecs/body.ts'
import { name } from '../codecs/json-tensor.ts'
import type { Region } from '../compute/arena.ts'
import type { Compute } from '../compute/compute.ts'
import { fieldProblem } from '../errors.ts'
import { Body, SCAN_HERE } from '../routes/request-body.ts'
import { schemaProblem } from '../schemas/field-errors.ts'
import { CLIENT_MESSAGES, type ClientMessage, RunId, type StartMessage } from '../schemas/stream.ts'

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
  readonly #compute: Compute
  /** short messages are looked at here: they must get through when there is no memory left for a start */
  readonly #desk: Region

  constructor(compute: Compute) {
    this.#compute = compute
    this.#desk = compute.allocate(SCAN_HERE)
  }

  async read(message: Buffer, binary: boolean): Promise<Received> {
    if (!binary && message.length <= SCAN_HERE) {
      const bytes = this.#copy(message, this.#desk)
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
    const bytes = this.#copy(message, region)
    return Body.parse(binary ? 'safetensors' : 'json', { region, bytes }, this.#compute)
  }

  #copy(message: Buffer, { offset }: Region): Uint8Array {
    const copy = new Uint8Array(this.#compute.arena.memory.buffer, offset, message.length)
    copy.set(message)
    return copy
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
