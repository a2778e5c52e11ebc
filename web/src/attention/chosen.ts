/** What a sentence is computed with: where nothing is chosen, the lesson model's head, and a sentence that shows what it does. */
import { lesson } from '../lesson.ts'
import { SEEDED } from '../page/address.ts'
import { firstModel, LESSON } from '../page/models.ts'
import { type AttentionState, type Cell, SENTENCE } from './state.ts'

/** `SEEDED` where no model computes it; undefined while nobody knows what the server has. */
export function modelOf({ source, model }: AttentionState): string | undefined {
  return source === 'numbers' ? SEEDED : (model ?? firstModel())
}

export function sentenceOf(state: AttentionState): string {
  return state.sentence ?? (modelOf(state) ? lesson().sentence : SENTENCE)
}

export function headOf(state: AttentionState): { layer: number; head: number } {
  const { layer, head } = modelOf(state) === LESSON ? lesson().pronoun_noun : { layer: 0, head: 0 }
  return state.head ?? { layer, head }
}

/** The state with nothing left open. A model has its own masks, and its maps no gradients here. */
export function resolved(state: AttentionState): AttentionState {
  const model = modelOf(state)
  if (!model) return { ...state, model }
  const own = { causal: 'none', padding: 0, window: undefined, gradients: false } as const
  return { ...state, ...own, model, sentence: sentenceOf(state), head: headOf(state) }
}

/** The weight that the lesson is about, where its sentence and its head are shown. */
export function cellOfLesson(state: AttentionState, tokens: string[]): Cell | undefined {
  if (modelOf(state) !== LESSON || state.sentence !== undefined || state.head !== undefined) return undefined
  const { pronoun, noun } = lesson()
  const [row, col] = [tokens.indexOf(pronoun), tokens.indexOf(noun)]
  return row < 0 || col < 0 ? undefined : { matrix: 'weights', row, col }
}
