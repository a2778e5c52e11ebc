/** The controls of the Layers view: what is run, and how it is shown. */
import { h } from '../page/dom.ts'
import { check, choice, count, type Field, text } from '../page/fields.ts'
import { modelChoice } from '../page/model-choice.ts'
import { LESSON, modelEntry } from '../page/models.ts'
import { say } from '../words/language.ts'
import { modelOf, sentenceOf } from './chosen.ts'
import type { LayersModel } from './model.ts'
import { type LayersState, LIMITS, NORMS, POSITIONS, tokensOf } from './state.ts'

export interface Bound {
  element: HTMLElement
  sync(state: LayersState): void
}

export function layersSetup(model: LayersModel): Bound {
  const set = (change: Partial<LayersState>) => model.state.set(change)
  const words = say()
  const fields: Bound[] = []
  const bind = <T>(field: Field<T>, read: (state: LayersState) => T): HTMLElement => {
    fields.push({ element: field.element, sync: state => field.sync(read(state)) })
    return field.element
  }
  const number = (name: 'layers' | 'heads' | 'dimHead' | 'seed', label: string, id: string) =>
    bind(
      count(label, id, LIMITS[name], value => set({ [name]: value })),
      state => state[name],
    )
  const run = h('button', { type: 'submit', class: 'button primary', id: 'run' }, words.run)
  const tokens = bind(
    count(words.tokenCount, 'tokens', LIMITS.tokens, tokens => set({ tokens })),
    state => tokensOf(state).length,
  )
  const hint = h('p', { class: 'hint', id: 'stack-note' })
  const stack = h(
    'div',
    { class: 'fields' },
    number('layers', words.layerCount, 'stack-layers'),
    number('heads', words.headCount, 'stack-heads'),
    number('dimHead', words.sizeKey, 'stack-dim'),
    number('seed', words.seed, 'stack-seed'),
    bind(
      choice(
        words.position,
        'stack-position',
        POSITIONS.map(name => [name, words[`position_${name}`]] as const),
        position => set({ position }),
      ),
      state => state.position,
    ),
    bind(
      choice(
        words.norm,
        'stack-norm',
        NORMS.map(name => [name, words[`norm_${name}`]] as const),
        norm => set({ norm }),
      ),
      state => state.norm,
    ),
    bind(
      check(words.causal, 'stack-causal', causal => set({ causal })),
      state => state.causal,
    ),
    bind(
      check(words.withBackward, 'stack-backward', backward => set({ backward })),
      state => state.backward,
    ),
  )
  const first = h(
    'div',
    { class: 'fields' },
    bind(
      modelChoice('stack-model', chosen => set({ model: chosen, selected: undefined, row: 0 })),
      modelOf,
    ),
    bind(
      text(words.sentence, 'stack-sentence', sentence => set({ sentence })),
      sentenceOf,
    ),
    tokens,
  )
  const element = h(
    'form',
    {
      class: 'setup',
      'aria-label': words.setup,
      onsubmit: event => {
        event.preventDefault()
        if (canRun(model.state.value)) model.start()
      },
    },
    first,
    stack,
    hint,
  )
  return {
    element,
    sync(state) {
      for (const field of fields) field.sync(state)
      const name = modelOf(state)
      for (const each of [tokens, stack]) each.hidden = Boolean(name)
      const end = name ? first : stack
      if (run.parentElement !== end) end.append(run)
      hint.textContent = name ? factsOf(name) : words.stackNote
      run.disabled = !canRun(state)
    },
  }
}

function canRun(state: LayersState): boolean {
  return sentenceOf(state).trim() !== ''
}

/** What the server says of a model; of one that it does not have it says so when it is asked to run it. */
function factsOf(name: string): string {
  const entry = modelEntry(name)
  const words = say()
  if (entry === undefined) return words.modelNote
  const { family, layers, heads, d_model, max_length } = entry
  const facts = words.modelFacts(family, layers, heads, d_model)
  const most = max_length === null ? '' : words.modelLength(max_length)
  return [facts, most, name === LESSON && words.lessonNote, words.modelNote].filter(Boolean).join(' ')
}
