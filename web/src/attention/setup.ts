/** The controls of the Attention view. */
import { columns, resized } from '../matrix/matrix.ts'
import { h } from '../page/dom.ts'
import { check, choice, count } from '../page/fields.ts'
import { say } from '../words/language.ts'
import { type Bound, bind, type Change } from './bound.ts'
import { modelOf } from './chosen.ts'
import { EXAMPLES, example } from './examples.ts'
import type { AttentionModel } from './model.ts'
import { sentenceGroup } from './sentence-setup.ts'
import { type AttentionState, type Causal, LARGEST, writeState } from './state.ts'

export function setupPanel(model: AttentionModel): Bound {
  const set = (change: Partial<AttentionState>) => model.state.set(change)
  const state = () => model.state.value
  const own = 'own'
  const source = bind(
    choice<AttentionState['source']>(
      say().source,
      'source',
      [
        ['numbers', say().fromNumbers],
        ['sentence', say().fromSentence],
      ],
      value => set({ source: value, cell: undefined }),
    ),
    ({ source }) => source,
  )
  const examples = bind(
    choice(
      say().example,
      'example',
      [
        ...EXAMPLES.map(({ id, title }) => [id, say()[title] as string] as const),
        [own, say().exampleOwn] as const,
      ],
      id => {
        if (id !== own) set(example(id).state)
      },
    ),
    shown => EXAMPLES.find(({ state }) => sameButCell(state, shown))?.id ?? own,
  )
  const groups = [numbersGroup(state, set), sentenceGroup(state, set)]
  const shared = [
    ...masks(set),
    bind(
      check(say().gradients, 'gradients', gradients => set({ gradients })),
      s => s.gradients,
    ),
  ]
  const all = [source, examples, ...groups, ...shared]
  const [numbers, sentence] = groups
  const options = h('div', { class: 'fields' }, ...shared.map(({ element }) => element))
  return {
    element: h(
      'form',
      { class: 'setup', 'aria-label': say().setup, onsubmit: event => event.preventDefault() },
      h('div', { class: 'fields' }, source.element, examples.element, numbers!.element),
      sentence!.element,
      options,
    ),
    sync(value) {
      examples.element.hidden = value.source === 'sentence'
      numbers!.element.hidden = value.source === 'sentence'
      sentence!.element.hidden = value.source === 'numbers'
      options.hidden = Boolean(modelOf(value))
      for (const each of all) each.sync(value)
    },
  }
}

function numbersGroup(state: () => AttentionState, set: Change): Bound {
  const size = (name: 'queries' | 'keys' | 'sizeKey' | 'sizeValue', read: (s: AttentionState) => number) =>
    bind(
      count(say()[name], name, [1, LARGEST.numbers], value => {
        const now = state()
        const wanted = {
          queries: now.q.length,
          keys: now.k.length,
          sizeKey: columns(now.q),
          sizeValue: columns(now.v),
        }
        wanted[name] = value
        const { queries, keys, sizeKey, sizeValue } = wanted
        set({
          q: resized(now.q, queries, sizeKey),
          k: resized(now.k, keys, sizeKey),
          v: resized(now.v, keys, sizeValue),
          target: resized(now.target, queries, sizeValue),
          padding: Math.min(now.padding, keys),
          cell: undefined,
        })
      }),
      read,
    )
  const parts = [
    size('queries', ({ q }) => q.length),
    size('keys', ({ k }) => k.length),
    size('sizeKey', ({ q }) => columns(q)),
    size('sizeValue', ({ v }) => columns(v)),
  ]
  return group('fields', parts)
}

function masks(set: Change): Bound[] {
  const window = h('div', { class: 'field-group' })
  const side = (name: 'left' | 'right', label: string) =>
    bind(
      count(label, `window-${name}`, [0, LARGEST.tokens], value => {
        sides = { ...sides, [name]: value }
        set({ window: sides })
      }),
      s => s.window?.[name] ?? sides[name],
    )
  let sides = { left: 1, right: 1 }
  const on = bind(
    check(say().window, 'window', checked => set({ window: checked ? sides : undefined })),
    s => s.window !== undefined,
  )
  const parts = [side('left', say().windowLeft), side('right', say().windowRight)]
  window.append(on.element, ...parts.map(({ element }) => element))
  return [
    bind(
      choice<Causal>(
        say().causal,
        'causal',
        [
          ['none', say().causalNone],
          ['top_left', say().causalTopLeft],
          ['bottom_right', say().causalBottomRight],
        ],
        causal => set({ causal }),
      ),
      s => s.causal,
    ),
    bind(
      count(say().padding, 'padding', [0, LARGEST.tokens], padding => set({ padding })),
      s => s.padding,
    ),
    {
      element: window,
      sync(value) {
        if (value.window !== undefined) sides = value.window
        on.sync(value)
        for (const part of parts) {
          part.element.hidden = value.window === undefined
          part.sync(value)
        }
      },
    },
  ]
}

function group(name: string, parts: Bound[]): Bound {
  return {
    element: h('div', { class: name }, ...parts.map(({ element }) => element)),
    sync(value) {
      for (const part of parts) part.sync(value)
    },
  }
}

function sameButCell(left: AttentionState, right: AttentionState): boolean {
  const text = (state: AttentionState) => writeState({ ...state, cell: undefined }).toString()
  return text(left) === text(right)
}
