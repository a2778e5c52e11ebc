/** The keys of one query in the order of their weights, as a table. */
import { format } from '../matrix/format.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'
import type { FullMap } from './full-maps.ts'

const SHOWN = 32

export function rowTable(
  row: number,
  tokens: string[],
  weights: FullMap,
  gradients: FullMap | undefined,
): HTMLElement {
  const at = (map: FullMap, key: number) => map.data[row * map.cols + key] ?? 0
  const keys = tokens.map((_, key) => key).sort((a, b) => at(weights, b) - at(weights, a))
  const title = say().keysOf(tokens[row] ?? '', row + 1)
  const lines = keys
    .slice(0, SHOWN)
    .map(key =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, `${key + 1} ${tokens[key]}`),
        h('td', {}, format(at(weights, key), 6)),
        gradients && h('td', {}, format(at(gradients, key), 6)),
      ),
    )
  return h(
    'div',
    { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': title },
    h(
      'table',
      { class: 'numbers', 'data-table': 'row' },
      h('caption', {}, title),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, say().key),
          h('th', { scope: 'col' }, say().weight),
          gradients && h('th', { scope: 'col' }, say().gradient),
        ),
      ),
      h('tbody', {}, ...lines),
    ),
  )
}
