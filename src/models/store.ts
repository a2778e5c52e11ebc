/**
 * The models of MODELS_DIR and those that come with the service: a folder each, described from its files, loaded when it is first used,
 * and dropped where another needs the room, the least recently used first.
 */
import type { Engine } from '../engine/engine.ts'
import { Problem, problemOf } from '../problem.ts'
import { findModels } from './folders.ts'
import { loadWeights } from './load.ts'
import { LoadedModel } from './loaded.ts'
import { type ModelPlan, planModel } from './plan.ts'

export interface ModelDescription {
  name: string
  family: string
  layers: number
  heads: number
  kv_heads: number
  d_model: number
  head_dim: number
  vocabulary: number
  parameters: number
  dtype: string
  /** of memory, once it is loaded */
  bytes: number
  loaded: boolean
  /** while it is being loaded */
  loading?: { done: number; total: number }
  tokenizer: boolean
  max_length: number | null
}

/** A folder that cannot be read, beside those that can. */
export interface BrokenModel {
  name: string
  problem: { status: number; code: string; detail: string }
}

interface Loading {
  done: number
  total: number
  model: Promise<LoadedModel>
}

export class ModelStore {
  readonly #folders: string[]
  readonly #memoryBytes: number
  readonly #engine: Engine
  /** the least recently used first */
  readonly #loaded = new Map<string, LoadedModel>()
  readonly #loading = new Map<string, Loading>()

  /** `folders`: the first one that has a name has it. Nothing of them is read before somebody asks. */
  constructor(folders: string[], memoryBytes: number, engine: Engine) {
    this.#folders = folders
    this.#memoryBytes = memoryBytes
    this.#engine = engine
  }

  async list(): Promise<(ModelDescription | BrokenModel)[]> {
    const models = await findModels(this.#folders)
    return Promise.all(
      [...models.keys()].map(name => {
        return this.describe(name).catch((error: unknown) => {
          const { status, code, message: detail } = problemOf(error)
          return { name, problem: { status, code, detail } }
        })
      }),
    )
  }

  async describe(name: string): Promise<ModelDescription> {
    const plan = this.#loaded.get(name)?.plan ?? (await this.#plan(name))
    const { sizes, family } = plan.spec
    const loading = this.#loading.get(name)
    return {
      name,
      family,
      layers: sizes.layers,
      heads: sizes.heads,
      kv_heads: sizes.kvHeads,
      d_model: sizes.dModel,
      head_dim: sizes.headDim,
      vocabulary: sizes.vocabulary,
      parameters: plan.parameters,
      dtype: plan.dtype,
      bytes: plan.bytes,
      loaded: this.#loaded.has(name),
      ...(loading && { loading: { done: loading.done, total: loading.total } }),
      tokenizer: plan.checkpoint.tokenizer,
      max_length: plan.maxLength ?? null,
    }
  }

  /** The model, loaded, and held until `release`. */
  async use(name: string): Promise<LoadedModel> {
    let model = this.#loaded.get(name)
    while (model === undefined) {
      await this.#load(name)
      // another may have needed its room since
      model = this.#loaded.get(name)
    }
    model.holders++
    this.#loaded.delete(name)
    this.#loaded.set(name, model)
    return model
  }

  release(model: LoadedModel): void {
    model.holders--
  }

  close(): void {
    for (const model of this.#loaded.values()) model.leave()
  }

  /** Only what stands in the folders has a name: no request leads elsewhere. */
  async #plan(name: string): Promise<ModelPlan> {
    const path = (await findModels(this.#folders)).get(name)
    if (path === undefined)
      throw new Problem('MODEL_NOT_FOUND', `no model ${JSON.stringify(name.slice(0, 100))}`)
    return planModel(name, path)
  }

  #load(name: string): Promise<LoadedModel> {
    const under = this.#loading.get(name)
    if (under !== undefined) return under.model
    const loading: Loading = { done: 0, total: 0, model: this.#loadNow(name, () => loading) }
    this.#loading.set(name, loading)
    const end = () => this.#loading.delete(name)
    loading.model.then(end, end)
    return loading.model
  }

  async #loadNow(name: string, loading: () => Loading): Promise<LoadedModel> {
    const plan = await this.#plan(name)
    loading().total = plan.bytes
    const region = await this.#room(plan)
    const { arena } = this.#engine
    try {
      await loadWeights(plan, arena.memory, region.offset, done => {
        loading().done = Math.min(done, plan.bytes)
      })
    } catch (error) {
      arena.free(region)
      throw error
    }
    const model = new LoadedModel(plan, region, arena.memory)
    this.#loaded.set(name, model)
    return model
  }

  /** Others leave where they must; models that are being read stay. */
  async #room({ name, bytes }: ModelPlan) {
    const { arena } = this.#engine
    for (const [most, setting] of [
      [this.#memoryBytes, 'MODEL_MEMORY_BYTES'],
      [arena.largeLimit, 'MEMORY_BYTES'],
    ] as const) {
      if (bytes <= most) continue
      const detail = `the model ${name} takes ${bytes} bytes, ${bytes - most} more than ${setting} leaves (${most})`
      throw new Problem('MEMORY_TOO_LARGE', detail)
    }
    const busy = (why: string) => this.#engine.busy(`the model ${name} takes ${bytes} bytes, ${why}`)
    const left = 'more than requests and models in use leave'
    let missing = this.#takenBy(name) + bytes - this.#memoryBytes
    while (missing > 0) {
      if (!this.#drop()) throw busy(`${missing} ${left}`)
      missing = this.#takenBy(name) + bytes - this.#memoryBytes
    }
    while (!arena.fits(bytes)) if (!this.#drop()) break
    return this.#engine.room(bytes).catch(() => {
      const free = arena.largeLimit - arena.usedBytes
      throw busy(bytes > free ? `${bytes - free} ${left}` : `and the ${free} that are free lie apart`)
    })
  }

  /** By models that are there, and others that are being loaded. */
  #takenBy(name: string): number {
    let bytes = 0
    for (const { plan } of this.#loaded.values()) bytes += plan.bytes
    for (const [other, { total }] of this.#loading) if (other !== name) bytes += total
    return bytes
  }

  #drop(): boolean {
    for (const [name, model] of this.#loaded) {
      if (model.holders > 0) continue
      this.#loaded.delete(name)
      model.leave()
      this.#engine.arena.free(model.region)
      return true
    }
    return false
  }
}
