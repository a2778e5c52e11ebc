/** Runs that nobody has pressed a button for. */
import { firstModel, knownModels } from '../page/models.ts'
import type { LayersModel } from './model.ts'

/** A link to a run shows the run; where nothing is chosen a model's is shown, if there is one. */
export function openRun(layers: LayersModel): void {
  const isIdle = () => layers.status.value.phase === 'idle'
  const { run, model } = layers.state.value
  if (!isIdle()) return
  if (run) layers.start()
  else if (model === undefined)
    void knownModels().then(() => {
      if (isIdle() && layers.state.value.model === undefined && firstModel()) layers.start()
    })
}

/** The sentence that nobody has written is in the language of the page. */
export function translateRun(layers: LayersModel): void {
  if (!layers.of?.model || layers.state.value.sentence !== undefined) return
  layers.state.set({ selected: undefined })
  layers.start()
}
