/** A model of the store while a request needs it: loaded at the latest then, and held until it is disposed of. */
import type { LoadedModel } from '../../models/loaded.ts'
import type { ModelStore } from '../../models/store.ts'

export class HeldModel implements Disposable {
  readonly #store: ModelStore
  readonly #name: string
  #model: LoadedModel | undefined
  #over = false

  constructor(store: ModelStore, name: string) {
    this.#store = store
    this.#name = name
  }

  /** Once `load` has settled. */
  get loaded(): LoadedModel {
    if (this.#model === undefined) throw new Error('the model has not been loaded')
    return this.#model
  }

  /** Rejects with the signal's reason where that fires first: the model may be loaded for others all the same. */
  async load(signal: AbortSignal): Promise<LoadedModel> {
    signal.throwIfAborted()
    const stopped = Promise.withResolvers<never>()
    const stop = () => stopped.reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    const using = this.#store.use(this.#name).then(model => {
      if (this.#over || signal.aborted) this.#store.release(model)
      else this.#model = model
      return model
    })
    try {
      return await Promise.race([using, stopped.promise])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  [Symbol.dispose](): void {
    if (this.#model !== undefined && !this.#over) this.#store.release(this.#model)
    this.#over = true
  }
}
