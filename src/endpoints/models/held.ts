/** A model of the store while a request needs it: loaded at the latest now, and held until it is disposed of. */
import type { LoadedModel } from '../../models/loaded.ts'
import type { ModelStore } from '../../models/store.ts'
import { unlessStopped } from './unless-stopped.ts'

export interface HeldModel extends Disposable {
  model: LoadedModel
}

/** Rejects with the signal's reason where that fires first: the model may be loaded for others all the same. */
export async function holdModel(store: ModelStore, name: string, signal: AbortSignal): Promise<HeldModel> {
  signal.throwIfAborted()
  const using = store.use(name)
  try {
    const model = await unlessStopped(using, signal)
    return { model, [Symbol.dispose]: () => store.release(model) }
  } catch (error) {
    // nobody waits for it any more
    using.then(
      model => store.release(model),
      () => {},
    )
    throw error
  }
}
