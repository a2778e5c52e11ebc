/** Layers × heads as a table of mean entropies: the grid for those who read rather than look. */
import { format } from '../matrix/format.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'
import type { LayersModel } from './model.ts'

export function entropyTable(model: LayersModel): HTMLElement {
  const { layers, heads } = model.of ?? model.state.value
  const title = say().entropyTable
  const cell = (layer: number, head: number): HTMLElement => {
    const entropy = model.thumbnail('forward', layer, head)?.entropy
    const mean = entropy && entropy.reduce((sum, value) => sum + value, 0) / Math.max(1, entropy.length)
    return h(
      'td',
      {},
      mean === undefined
        ? '–'
        : h(
            'button',
            {
              type: 'button',
              class: 'in-table',
              'aria-label': say().cellEntropy(layer + 1, head + 1, format(mean, 3)),
              'data-cell': `forward-${layer}-${head}`,
              onclick: () => model.state.set({ selected: { layer, head } }),
            },
            format(mean, 3),
          ),
    )
  }
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)
  return h(
    'div',
    { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': title },
    h(
      'table',
      { class: 'numbers', 'data-table': 'layers' },
      h('caption', {}, title),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, say().layerShort),
          ...numbers(heads).map(head => h('th', { scope: 'col' }, say().headName(head + 1))),
        ),
      ),
      h(
        'tbody',
        {},
        ...numbers(layers).map(layer =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, String(layer + 1)),
            ...numbers(heads).map(head => cell(layer, head)),
          ),
        ),
      ),
    ),
  )
}
