/** A model whose weights lie in the shared memory, where every worker reads them. */
import type { Region } from '../engine/arena.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import type { StackRequest } from '../layers/stack-fields.ts'
import { unsupported } from './config.ts'
import type { ModelPlan } from './plan.ts'
import { ModelTokenizer } from './tokenizer.ts'

export class LoadedModel {
  readonly plan: ModelPlan
  readonly region: Region
  /** requests that read it now */
  holders = 0
  /** by our names */
  readonly sources = new Map<string, TensorSource>()
  readonly stack: StackRequest
  readonly encoderStack: StackRequest | undefined
  #tokenizer: Promise<ModelTokenizer> | undefined

  constructor(plan: ModelPlan, region: Region, memory: WebAssembly.Memory) {
    this.plan = plan
    this.region = region
    const bytes = new Uint8Array(memory.buffer, region.offset, region.bytes)
    for (const { name, shape, offset, shift } of plan.weights.values()) {
      const count = product(shape)
      const place = { bytes, start: offset, end: offset + 4 * count, marks: [], escaped: false }
      this.sources.set(name, { shape, count, dtype: 'float32', form: 'kept', shift, ...place })
    }
    this.stack = this.#withParams(plan.stack, '')
    this.encoderStack = plan.encoderStack && this.#withParams(plan.encoderStack, 'encoder.')
  }

  /** Started when it is first asked for. Rejects where there is none, or it cannot be loaded. */
  tokenizer(): Promise<ModelTokenizer> {
    if (!this.plan.checkpoint.tokenizer) {
      throw unsupported(
        `the model ${this.plan.name} has no tokenizer.json: expected token_ids in place of text`,
      )
    }
    this.#tokenizer ??= ModelTokenizer.start(this.plan)
    return this.#tokenizer
  }

  /** Its memory is somebody else's now. */
  leave(): void {
    void this.#tokenizer?.then(
      tokenizer => tokenizer.close(),
      () => {},
    )
  }

  source(name: string): TensorSource {
    const source = this.sources.get(name)
    if (source === undefined) throw new Error(`no weight is called ${name}`)
    return source
  }

  #withParams(stack: StackRequest, prefix: string): StackRequest {
    const params: Record<string, TensorSource> = {}
    for (const [name, source] of this.sources) {
      if (name.startsWith(prefix) && OF_STACK.test(name.slice(prefix.length))) {
        params[name.slice(prefix.length)] = source
      }
    }
    return { ...stack, params }
  }
}

/** Parameters of a stack, among the weights of a model. */
const OF_STACK = /^(layers\.|final_norm\.|relative_bias\.)/
