/** What a client sends → the message, checked. A `start` is decoded like a body; all else is short and read here. */

import { isUtf8 } from 'node:buffer'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CLIENT_MESSAGES, type ClientMessage, type StartMessage } from '../../endpoints/stream-messages.ts'
import type { Engine } from '../../engine/engine.ts'
import { isTree, jsonTree } from '../../formats/body.ts'
import { name } from '../../formats/tensor.ts'
import type { Source } from '../../pipeline/decode.ts'
import { SLICE } from '../../pipeline/growing-body.ts'
import { SCAN_HERE } from '../../pipeline/scan.ts'
import { parse } from '../../pipeline/serve.ts'
import { fieldProblem } from '../../problem.ts'

export type ControlMessage = Exclude<ClientMessage, StartMessage>

/** Where short messages are read: they must get through when there is no memory left for a start. */
export class ControlBuffer {
  readonly #engine: Engine
  readonly #bytes: Uint8Array

  constructor(engine: Engine) {
    this.#engine = engine
    const { offset } = engine.allocate(SCAN_HERE)
    this.#bytes = new Uint8Array(engine.arena.memory.buffer, offset, SCAN_HERE)
  }

  /** What it has located is valid until the next message; undefined where it is no short one after all. */
  read({ parts: [text], length }: Message): unknown {
    const bytes = this.#bytes.subarray(0, length)
    bytes.set(text)
    const scan = this.#engine.scanHere(bytes)
    return scan && jsonTree(bytes, scan)
  }
}

/** A message that has come whole. */
export interface Message {
  parts: Buffer[]
  length: number
  binary: boolean
  /** text of which nobody has seen that it is UTF-8 */
  unseen: boolean
}

/** `unseen`: the library took text for something else. */
export function messageOf(data: Buffer | Buffer[], binary: boolean, unseen: boolean): Message {
  const parts = Array.isArray(data) ? data : [data]
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (!unseen) return { parts, length, binary, unseen }
  const text = length <= SCAN_HERE ? Buffer.concat(parts) : undefined
  const seen = text !== undefined && isUtf8(text)
  return { parts: seen ? [text] : parts, length, binary: false, unseen: !seen }
}

/** Text that is no UTF-8. */
export class NoText extends Error {}

export class MessageSource implements Source {
  readonly format: 'json' | 'safetensors'
  readonly declaredBytes: number
  readonly client = ''
  readonly #message: Message

  constructor(message: Message) {
    this.format = message.binary ? 'safetensors' : 'json'
    this.declaredBytes = message.length
    this.#message = message
  }

  async read(take: (chunk: Buffer) => void): Promise<void> {
    const { parts, unseen } = this.#message
    const utf8 = unseen ? new TextDecoder('utf-8', { fatal: true }) : undefined
    let inTurn = 0
    for (const part of slices(parts)) {
      inTurn += part.length
      if (inTurn > SLICE) {
        await nextTurn()
        inTurn = part.length
      }
      readText(part, utf8)
      take(part)
    }
    readText(undefined, utf8)
  }
}

function* slices(parts: Buffer[]): Generator<Buffer> {
  for (const part of parts)
    for (let at = 0; at < part.length; at += SLICE) yield part.subarray(at, at + SLICE)
}

/** The next part, or undefined for the end: no character has come by halves. */
function readText(part: Buffer | undefined, utf8: TextDecoder | undefined): void {
  try {
    utf8?.decode(part, { stream: part !== undefined })
  } catch {
    throw new NoText()
  }
}

/** Throws where it says no type that there is. */
export function typeOf(tree: unknown): ClientMessage['type'] {
  const types = Object.keys(CLIENT_MESSAGES)
  if (!isTree(tree)) throw fieldProblem('INVALID_REQUEST', '', `expected an object, got ${name(tree)}`)
  const { type } = tree
  if (typeof type === 'string' && types.includes(type)) return type as ClientMessage['type']
  const message = `expected one of ${types.join(', ')}, got ${name(type)}`
  throw fieldProblem('INVALID_REQUEST', '/type', message)
}

export function controlMessage(type: ControlMessage['type'], tree: unknown): ControlMessage {
  return parse<ControlMessage>(CLIENT_MESSAGES[type], tree)
}
