/** Maps of a model as comma-separated values: read where the program has left them, while they leave. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CSV_TYPE, csvText, type MapsEndpoint } from '../endpoints/models/csv.ts'
import type { ForwardRequest } from '../endpoints/models/request.ts'
import type { OutputTensor } from '../layers/outputs.ts'
import { shortest } from '../pipeline/encode.ts'
import type { Receipt } from '../pipeline/receipt.ts'
import type { ReplyStyle } from '../pipeline/reply.ts'
import type { Admitted } from '../pipeline/serve.ts'
import { Response } from './rest.ts'

export class MapTable extends Response {
  readonly #endpoint: MapsEndpoint
  readonly #reply: FastifyReply
  readonly #memory: WebAssembly.Memory
  #admitted: Admitted | undefined

  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    receipt: Receipt,
    endpoint: MapsEndpoint,
    memory: WebAssembly.Memory,
  ) {
    super(request, reply, receipt)
    this.#endpoint = endpoint
    this.#reply = reply
    this.#memory = memory
  }

  /** The numbers stay as the program has them: their text is written here. */
  override style(request: unknown): ReplyStyle {
    const { precision } = request as ForwardRequest
    return { format: 'safetensors', encoding: 'base64', dtype: precision, fields: 'response' }
  }

  accepted(admitted: Admitted): void {
    this.#admitted = admitted
  }

  override end(): Promise<void> {
    this.#reply.type(`${CSV_TYPE}; charset=utf-8; header=present`)
    return this.stream(this.#pieces(), undefined)
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    const { compiled, lease } = this.#admitted as Admitted
    const single = compiled.program.precision === 'float32'
    const valuesOf = ({ buffer }: OutputTensor) => {
      const { offset, length } = lease.placement.buffers[buffer]
      const memory = this.#memory.buffer
      return single ? new Float32Array(memory, offset, length) : new Float64Array(memory, offset, length)
    }
    const write = (value: number) => (single && Number.isFinite(value) ? shortest(value) : value)
    for (const text of csvText(this.#endpoint.maps, valuesOf, write)) {
      yield Buffer.from(text)
      await nextTurn()
    }
  }
}
