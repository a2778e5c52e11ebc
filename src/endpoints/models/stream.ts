/** A run of `GET /v1/stream` over a model: its frames are those of its layers, and of the tokens that it generates. */
import type { Report } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import type { ModelStore } from '../../models/store.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import type { Room } from '../endpoint.ts'
import { checkResume } from '../resume-place.ts'
import type { StreamRun } from '../stream-run.ts'
import type { PreparedTokens } from './context.ts'
import { compiledLayers, prepareTokens } from './endpoint.ts'
import { allLayers, checkRequest, compileModel, toldTokens } from './forward.ts'
import { FrameOutlets, TokenFrames } from './frames.ts'
import { type HeldModel, holdModel } from './held.ts'
import { emitted, type ModelStart, ModelStartMessage } from './start.ts'

export class ModelRun implements StreamRun<ModelStart>, Disposable {
  readonly request = ModelStartMessage
  readonly #store: ModelStore
  readonly #starting: (message: ModelStart) => void
  #held: HeldModel | undefined
  #tokens: PreparedTokens | undefined

  /** `starting` is told of a message that is right in itself, before its model is loaded; it may throw. */
  constructor(store: ModelStore, starting: (message: ModelStart) => void) {
    this.#store = store
    this.#starting = starting
  }

  get #model(): LoadedModel {
    return (this.#held as HeldModel).model
  }

  layers(message: ModelStart): number {
    return compiledLayers(message, this.#model, this.#tokens)
  }

  accepted() {
    const { layers } = this.#model.plan.spec.sizes
    return { layers, tokens: toldTokens(this.#tokens as PreparedTokens) }
  }

  async prepare(message: ModelStart, body: Room, signal: AbortSignal): Promise<void> {
    this.#starting(message)
    this.#held = await holdModel(this.#store, message.model, signal).catch(named)
    this.#tokens = await prepareTokens(message, this.#model, body, signal)
  }

  *compile(p: RequestProgram, message: ModelStart): Generator<void> {
    const model = this.#model
    const prepared = this.#tokens as PreparedTokens
    const { heads, detail, layers = allLayers(model) } = message
    checkRequest(message, model, message.emit)
    const names = emitted(message)
    const reports: Report[] = []
    const outlets = new FrameOutlets(p, layers, heads, detail)
    const asked = { names, layers, outlets }
    const tokens = new TokenFrames(p, asked, model.plan.stack.layers, heads, prepared.nameOf)
    yield* compileModel(p, message, model, prepared, asked, reports, tokens)
    checkResume(p.barriers, message.resume)
  }

  [Symbol.dispose](): void {
    this.#held?.[Symbol.dispose]()
  }
}

/** Of a model that there is not, the field that names it. */
function named(error: unknown): never {
  if (!(error instanceof Problem) || error.code !== 'MODEL_NOT_FOUND') throw error
  throw fieldProblem('MODEL_NOT_FOUND', '/model', error.message)
}
