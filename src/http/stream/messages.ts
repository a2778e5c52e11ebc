/** What a client sends → the message, checked. A `start` is decoded like a body; all else is short and read here. */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { CLIENT_MESSAGES, type ClientMessage, type StartMessage } from '../../endpoints/stream-messages.ts'
import type { Engine } from '../../engine/engine.ts'
import { isTree, jsonTree } from '../../formats/body.ts'
import { name } from '../../formats/tensor.ts'
import { SCAN_HERE, type Source } from '../../pipeline/decode.ts'
import { SLICE } from '../../pipeline/growing-body.ts'
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
  read(message: Buffer): unknown {
    const bytes = this.#bytes.subarray(0, message.length)
    bytes.set(message)
    const scan = this.#engine.scanHere(bytes)
    return scan && jsonTree(bytes, scan)
  }
}

/** A message that has come whole. */
export class MessageSource implements Source {
  readonly format: 'json' | 'safetensors'
  readonly declaredBytes: number
  readonly client = ''
  readonly #bytes: Buffer

  constructor(bytes: Buffer, binary: boolean) {
    this.format = binary ? 'safetensors' : 'json'
    this.declaredBytes = bytes.length
    this.#bytes = bytes
  }

  async read(take: (chunk: Buffer) => void): Promise<void> {
    for (let at = 0; at < this.#bytes.length; at += SLICE) {
      if (at > 0) await nextTurn()
      take(this.#bytes.subarray(at, at + SLICE))
    }
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
