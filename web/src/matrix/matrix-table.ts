/** A matrix as a table: what the pictures say, for those who would rather read or hear it. */
import { h } from '../page/dom.ts'
import type { Picture } from './draw-matrix.ts'
import { format } from './format.ts'

export function matrixTable(name: string, title: string, { values, rows, cols }: Picture): HTMLElement {
  const head = cols.map(label => h('th', { scope: 'col' }, label))
  const body = values.map((row, i) =>
    h('tr', {}, h('th', { scope: 'row' }, rows[i] ?? ''), ...row.map(value => h('td', {}, format(value)))),
  )
  return h(
    'div',
    { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': title },
    h(
      'table',
      { class: 'numbers', 'data-table': name },
      h('caption', { class: 'visually-hidden' }, title),
      h('thead', {}, h('tr', {}, h('td', {}), ...head)),
      h('tbody', {}, ...body),
    ),
  )
}
