/** The answer of an inference: JSON text, and the bytes of those outputs that were asked for as bytes. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { WRITTEN_BYTES } from '../../../workers/contract.ts'
import { product } from '../../formats/tensor.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import type { Fields, ReadyReply } from '../../pipeline/encode.ts'
import type { Receipt } from '../../pipeline/receipt.ts'
import { type Layout, type Numerics, type ReplyStyle, replyStyle } from '../../pipeline/reply.ts'
import { Response } from '../rest.ts'
import type { Asked, Call } from './call.ts'
import { datatypeOf } from './datatypes.ts'
import { type InferenceModel, MODEL_VERSION } from './models.ts'

export const TEXT_LENGTH = 'inference-header-content-length'

export class InferenceResponse extends Response {
  readonly #reply: FastifyReply
  readonly #layout: (style: ReplyStyle) => Layout

  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    receipt: Receipt,
    model: InferenceModel,
    call: Call,
  ) {
    super(request, reply, receipt)
    this.#reply = reply
    this.#layout = style => new InferenceLayout(model, call, style)
  }

  override style(request: unknown): ReplyStyle {
    const style: ReplyStyle = { ...replyStyle(request as Numerics, 'json'), encoding: 'flat' }
    return { ...style, layout: this.#layout(style) }
  }

  override end(ready: ReadyReply): Promise<void> | undefined {
    const fields = ready.scalars()
    const length = ready.textLength(fields)
    if (length === undefined) return super.end(ready, fields)
    this.#reply.header(TEXT_LENGTH, length)
    return super.end(ready, fields, 'application/octet-stream')
  }
}

class InferenceLayout implements Layout {
  readonly #model: InferenceModel
  readonly #inputs: Call['shapes']
  readonly #id: string | undefined
  readonly #asked: Map<string, Asked>
  readonly #style: ReplyStyle

  constructor(model: InferenceModel, { id, asked, shapes }: Call, style: ReplyStyle) {
    this.#model = model
    this.#inputs = shapes
    this.#id = id
    this.#asked = new Map(asked.map(each => [each.name, each]))
    this.#style = style
  }

  binary(name: string): boolean {
    return this.#asked.get(name)?.binary === true
  }

  tree(outputs: OutputTensor[], place: (index: number) => unknown, fields: Fields): object {
    const id = this.#id
    const told = this.#model.told?.(fields, this.#inputs) ?? fields
    return {
      model_name: this.#model.name,
      model_version: MODEL_VERSION,
      ...(id !== undefined && { id }),
      ...(Object.keys(told).length > 0 && { parameters: told }),
      outputs: outputs.map(({ name, shape, dtype = this.#style.dtype }, index) => {
        const head = { name, datatype: datatypeOf(dtype), shape }
        if (!this.binary(name)) return { ...head, data: place(index) }
        return { ...head, parameters: { binary_data_size: product(shape) * WRITTEN_BYTES[dtype] } }
      }),
    }
  }
}
