/** The panel that writes out where the cell pointed at comes from, and shows the row it stands in. */
import { colormap } from '../color/colormap.ts'
import { place } from '../color/scale.ts'
import { format } from '../matrix/format.ts'
import { announce } from '../page/announce.ts'
import { h, formula as typeset } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { say } from '../words/language.ts'
import { explain } from './explain.ts'
import { pictureOf } from './flow.ts'
import { isName, KINDS, type Name } from './matrices.ts'
import type { AttentionModel } from './model.ts'
import type { AttentionResult } from './request.ts'

const OF_KEYS = new Set<Name>(['products', 'scores', 'masked_scores', 'weights', 'entropy', 'output'])

export class ExplanationPanel {
  readonly #body = h('div', { class: 'explanation-body', id: 'explanation-body' })
  readonly #toggle = h('button', {
    type: 'button',
    class: 'unfold',
    'aria-labelledby': 'explanation-title',
    'aria-controls': 'explanation-body',
    onclick: () => this.#fold(!this.element.classList.contains('folded')),
  })
  /**
   * It and its rows scroll where there is little room: the keyboard reaches what scrolls. Where it lies over the matrices it is
   * a line until somebody unfolds it.
   */
  readonly element = h(
    'aside',
    { class: 'explanation', tabindex: 0, 'aria-labelledby': 'explanation-title' },
    this.#toggle,
    h('h2', { id: 'explanation-title' }, say().explanation),
    this.#body,
  )
  readonly #model: AttentionModel

  constructor(model: AttentionModel) {
    this.#model = model
    this.#fold(true)
  }

  #fold(folded: boolean): void {
    this.element.classList.toggle('folded', folded)
    this.#toggle.setAttribute('aria-expanded', String(!folded))
    // what is explained stays in sight
    if (!folded) document.querySelector('.frame-main')?.scrollIntoView({ block: 'nearest' })
  }

  update(): void {
    const { cell } = this.#model.state.value
    const { result } = this.#model.answer.value
    const content =
      result !== undefined && cell !== undefined && isName(cell.matrix)
        ? contentOf(result, cell.matrix, cell.row, cell.col)
        : undefined
    this.#body.replaceChildren(...(content ?? [h('p', { class: 'quiet' }, say().explanationEmpty)]))
    if (content !== undefined && document.activeElement?.closest('.stage')) {
      announce(spoken(this.#body), 250)
    }
  }
}

/** The cell and its value, and what is special about it; the sum itself is there to be read. */
function spoken(body: HTMLElement): string {
  return [...body.querySelectorAll('.cell-name, .note')].map(({ textContent }) => textContent).join('. ')
}

function contentOf(result: AttentionResult, name: Name, row: number, col: number): HTMLElement[] | undefined {
  const explanation = explain(result, name, row, col)
  const picture = pictureOf(result, name)
  if (explanation === undefined || picture === undefined) return undefined
  const place = [picture.rows[row], picture.cols[col]].filter(Boolean).join(', ')
  const { formula, steps, value } = explanation
  const lines = steps.map(step => h('p', { class: 'sum' }, '= ', ...typeset(step)))
  if (steps.length > 0) lines.push(h('p', { class: 'sum result' }, '= ', h('strong', {}, format(value, 6))))
  const head = h(
    'div',
    {},
    h(
      'p',
      { class: 'cell-name' },
      `${KINDS[name].symbol}[${place}] `,
      h('strong', {}, `= ${format(value, 6)}`),
    ),
    formula === ''
      ? h(
          'p',
          { class: 'quiet' },
          result.inputs.q.length === 0 ? say().explanationOfModel : say().explanationGiven,
        )
      : h('p', { class: 'formula' }, ...typeset(formula)),
    ...lines,
    noteOf(result, name, row, col),
  )
  return [head, rowOf(result, name, row, col)]
}

function noteOf(result: AttentionResult, name: Name, row: number, col: number): HTMLElement | undefined {
  if (!OF_KEYS.has(name)) return undefined
  if (
    result.maskedScores[row]!.every(score => score === -Infinity) &&
    name !== 'products' &&
    name !== 'scores'
  ) {
    return h('p', { class: 'note' }, say().explanationEmptyRow)
  }
  const masked =
    (name === 'masked_scores' || name === 'weights') && result.maskedScores[row]![col] === -Infinity
  return masked ? h('p', { class: 'note' }, say().explanationMasked) : undefined
}

/** The row as bars, in the colours of its matrix. */
function rowOf(result: AttentionResult, name: Name, row: number, col: number): HTMLElement {
  const { values, rows, cols, scale } = pictureOf(result, name)!
  const map = colormap(scale.kind, theme())
  const largest = Math.max(Math.abs(scale.low), Math.abs(scale.high))
  const bars = values[row]!.map((value, j) => {
    const bar = h('span', { class: 'bar' })
    bar.style.width = Number.isFinite(value) ? `${(100 * Math.abs(value)) / largest}%` : '0'
    bar.style.backgroundColor = `rgb(${map.colors[place(scale, value)]!.join(' ')})`
    return h(
      'li',
      { class: j === col ? 'current' : '' },
      h('span', { class: 'bar-label' }, cols[j] ?? ''),
      h('span', { class: 'bar-room' }, bar),
      h('span', { class: 'bar-value' }, format(value)),
    )
  })
  const facts =
    OF_KEYS.has(name) && say().rowFacts(format(result.entropy[row]!), format(result.logsumexp[row]!))
  return h(
    'div',
    { class: 'row' },
    h('h3', {}, say().rowOf(rows[row] ?? ''), ' ', KINDS[name].symbol),
    h('ul', { class: 'bars', tabindex: 0 }, ...bars),
    facts && h('p', { class: 'quiet' }, facts),
  )
}
