/** What runs: where the reader has chosen nothing, the model that the server has for that, and a sentence that suits it. */
import { SENTENCE } from '../attention/state.ts'
import { lesson } from '../lesson.ts'
import { SEEDED } from '../page/address.ts'
import { firstModel, modelEntry } from '../page/models.ts'
import type { LayersState } from './state.ts'

/** undefined while nobody knows what the server has. */
export function modelOf({ model }: LayersState): string | undefined {
  return model ?? firstModel()
}

export function sentenceOf(state: LayersState): string {
  return state.sentence ?? (modelOf(state) ? lesson().sentence : SENTENCE)
}

/** The state with nothing left open, and the sizes of its model in place of the stack's; a model that is not known has none. */
export function resolved(state: LayersState): LayersState {
  const model = modelOf(state)
  if (!model) return { ...state, model }
  const { layers = 0, heads = 0 } = modelEntry(model) ?? {}
  return { ...state, model, sentence: sentenceOf(state), layers, heads, backward: false }
}

/** The head that the lesson is about, and the row of its pronoun among the tokens that are drawn. */
export function placeOfLesson(tokens: string[]): Pick<LayersState, 'selected' | 'row'> {
  const { pronoun, pronoun_noun } = lesson()
  const { layer, head } = pronoun_noun
  return { selected: { layer, head }, row: Math.max(0, tokens.indexOf(pronoun)) }
}

/** Of T5 the encoder is shown: its decoder sees one token. */
export function stackOf(state: LayersState | undefined): 'encoder' | undefined {
  return modelEntry(state?.model ?? SEEDED)?.family === 't5' ? 'encoder' : undefined
}
