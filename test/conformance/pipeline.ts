/** The service's pipeline in this process: every stage of a request, by workers, without a server around it. */

import { readConfig } from '../../src/config.ts'
import type { Compilable } from '../../src/endpoints/endpoint.ts'
import { Engine } from '../../src/engine/engine.ts'
import { Arrivals } from '../../src/pipeline/arrivals.ts'
import type { Intake, Source } from '../../src/pipeline/decode.ts'
import type { ReadyReply } from '../../src/pipeline/encode.ts'
import { Receipt } from '../../src/pipeline/receipt.ts'
import { type Numerics, replyStyle } from '../../src/pipeline/reply.ts'
import { type Sink, serve } from '../../src/pipeline/serve.ts'
import { readFile, writeFile } from '../service/safetensors-file.ts'
import type { Tensors } from './onnx-cases.ts'

export interface Asked {
  endpoint: Compilable
  /** by the names that safetensors has for them */
  tensors: Tensors
  /** what is no tensor */
  fields: object
}

export class Pipeline {
  readonly #engine: Engine
  readonly #intake: Intake

  /** `settings`: as the environment has them */
  static async start(settings: Record<string, string> = {}): Promise<Pipeline> {
    const config = readConfig({ THREADS: '2', MEMORY_BYTES: String(256 << 20), ...settings })
    return new Pipeline(await Engine.start(config), config.MAX_BODY_BYTES)
  }

  private constructor(engine: Engine, most: number) {
    const arrivals = new Arrivals(engine.arena.limit / 2)
    this.#engine = engine
    this.#intake = { engine, arrivals, mostBytes: Math.min(most, arrivals.limit), bodySeconds: 60 }
  }

  /** The answer's tensors, by name. Throws the Problem that a client would be told. */
  async ask({ endpoint, tensors, fields }: Asked): Promise<Tensors> {
    const body = writeFile(tensors, { request: JSON.stringify(fields) })
    const sink = new Collected()
    await serve(endpoint, new Whole(body), sink, this.#intake, new AbortController().signal)
    return readFile(Buffer.concat(sink.pieces)).tensors
  }

  close(): Promise<void> {
    return this.#engine.close()
  }
}

/** A body that is here already. */
class Whole implements Source {
  readonly format = 'safetensors'
  readonly client = ''
  readonly declaredBytes: number
  readonly #body: Buffer

  constructor(body: Buffer) {
    this.#body = body
    this.declaredBytes = body.length
  }

  async read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<void> {
    await take(this.#body)
  }
}

class Collected implements Sink<unknown> {
  readonly receipt = new Receipt()
  readonly pieces: Uint8Array[] = []

  style(request: unknown) {
    return replyStyle(request as Numerics, 'safetensors')
  }

  async end(ready: ReadyReply): Promise<void> {
    for await (const piece of ready.stream(ready.scalars(), true)) this.pieces.push(Buffer.from(piece))
  }
}
