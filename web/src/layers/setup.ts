/** The controls of the Layers view: what is run, and how it is shown. */
import { h } from '../page/dom.ts'
import { check, choice, count, type Field, text } from '../page/fields.ts'
import { say } from '../words/language.ts'
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
  const element = h(
    'form',
    {
      class: 'setup',
      'aria-label': words.setup,
      onsubmit: event => {
        event.preventDefault()
        if (tokensOf(model.state.value).length > 0) model.start()
      },
    },
    h(
      'div',
      { class: 'fields' },
      bind(
        text(words.sentence, 'stack-sentence', sentence => set({ sentence })),
        state => state.sentence,
      ),
      bind(
        count(words.tokenCount, 'tokens', LIMITS.tokens, tokens => set({ tokens })),
        state => tokensOf(state).length,
      ),
    ),
    h(
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
      run,
    ),
    h('p', { class: 'hint' }, words.stackNote),
  )
  return {
    element,
    sync(state) {
      for (const field of fields) field.sync(state)
      run.disabled = tokensOf(state).length === 0
    },
  }
}
