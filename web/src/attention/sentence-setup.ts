/** The controls of a sentence: the words, and where their numbers come from. */

import { h } from '../page/dom.ts'
import { count, text } from '../page/fields.ts'
import { modelChoice } from '../page/model-choice.ts'
import { LESSON } from '../page/models.ts'
import { say } from '../words/language.ts'
import { type Bound, bind, type Change } from './bound.ts'
import { headOf, modelOf, sentenceOf } from './chosen.ts'
import { words } from './seeded.ts'
import { type AttentionState, inputsOf, LARGEST, MOST_HEADS } from './state.ts'

export function sentenceGroup(state: () => AttentionState, set: Change): Bound {
  const choice = bind(
    modelChoice('sentence-model', model => set({ model, head: undefined, cell: undefined })),
    modelOf,
  )
  const sentence = bind(
    text(say().sentence, 'sentence', value => set({ sentence: value, cell: undefined })),
    sentenceOf,
  )
  const place = (name: 'layer' | 'head', label: string) =>
    bind(
      count(label, `sentence-${name}`, [1, MOST_HEADS], value =>
        set({ head: { ...headOf(state()), [name]: value - 1 } }),
      ),
      s => headOf(s)[name] + 1,
    )
  const ofModel = [place('layer', say().layerShort), place('head', say().head)]
  const ofSeed = [
    bind(
      count(say().dimension, 'dim', [2, LARGEST.dim], dim => set({ dim, cell: undefined })),
      s => s.dim,
    ),
    bind(
      count(say().seed, 'seed', [0, 2 ** 31], seed => set({ seed })),
      s => s.seed,
    ),
  ]
  const edit = h(
    'button',
    {
      type: 'button',
      class: 'button',
      onclick: () => {
        const { q, k, v, target, queries } = inputsOf(state())
        set({ source: 'numbers', q, k, v, target, tokens: queries, cell: undefined })
      },
    },
    say().toNumbers,
  )
  const hint = h('p', { class: 'hint' })
  const all = [choice, sentence, ...ofModel, ...ofSeed]
  return {
    element: h('div', { class: 'fields' }, ...all.map(({ element }) => element), edit, hint),
    sync(value) {
      for (const each of all) each.sync(value)
      const model = modelOf(value)
      for (const { element } of ofModel) element.hidden = !model
      for (const element of [...ofSeed.map(each => each.element), edit]) element.hidden = Boolean(model)
      hint.textContent = noteOf(model)
      edit.disabled = words(sentenceOf(value)).length > LARGEST.numbers || value.dim > LARGEST.numbers
    },
  }
}

function noteOf(model: string | undefined): string {
  if (!model) return say().sentenceNote
  return model === LESSON ? say().lessonHeadNote : say().modelHeadNote
}
