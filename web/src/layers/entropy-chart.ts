/** The entropy of every row of a head: 0 where a query looks at one key, ln M where it looks at all alike. */
import { format } from '../matrix/format.ts'
import { formula, h, svg } from '../page/dom.ts'
import { say } from '../words/language.ts'

const WIDTH = 340
const HEIGHT = 120

export class EntropyChart {
  readonly #svg = svg('svg', { role: 'img', viewBox: `-34 -8 ${WIDTH + 40} ${HEIGHT + 26}` })
  readonly #fact = h('span', { class: 'quiet' })
  readonly element = h(
    'figure',
    { class: 'entropy-chart' },
    h('figcaption', {}, ...formula(say().rowEntropy), ' ', this.#fact),
    this.#svg,
  )

  show(entropy: Float32Array | undefined, row: number): void {
    this.element.classList.toggle('waiting', entropy === undefined)
    if (entropy === undefined || entropy.length === 0) return
    const count = entropy.length
    const most = Math.max(Math.log(count), 1e-6)
    const x = (index: number) => (count === 1 ? WIDTH / 2 : (index / (count - 1)) * WIDTH)
    const y = (value: number) => HEIGHT - (value / most) * HEIGHT
    const points = Array.from(
      entropy,
      (value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`,
    ).join(' ')
    const mean = entropy.reduce((sum, value) => sum + value, 0) / count
    const line = (value: number, label: string) => [
      svg('line', { class: 'rule', x1: 0, x2: WIDTH, y1: y(value), y2: y(value) }),
      svg('text', { x: -6, y: y(value), 'text-anchor': 'end', 'dominant-baseline': 'central' }, label),
    ]
    this.#svg.replaceChildren(
      ...line(0, '0'),
      ...line(most, format(most, 2)),
      svg('polyline', { class: 'curve', points }),
      svg('circle', { class: 'mark', cx: x(row), cy: y(entropy[row] ?? 0), r: 4 }),
    )
    this.#fact.textContent = say().entropyFacts(format(mean, 3), format(entropy[row] ?? 0, 3))
    this.#svg.setAttribute('aria-label', `${say().rowEntropy} ${this.#fact.textContent}`)
  }
}
