/**
 * A matrix to type into: every cell is a number field. Dragging one sideways changes it, the arrow keys step it, and a
 * pasted table or JSON array takes the whole matrix's place.
 */
import { colormap } from '../color/colormap.ts'
import { place, scaleOf } from '../color/scale.ts'
import { h } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { columns, type Matrix, parseMatrix, withValue } from './matrix.ts'
import type { Frame } from './matrix-view.ts'

export interface GridOptions {
  name: string
  title: string
  /** says what a cell is, for screen readers */
  label(row: string, col: number): string
  onChange(matrix: Matrix): void
  onPoint(cell: { row: number; col: number } | undefined): void
}

const STEP = 0.05
const PIXELS_A_STEP = 4

export class NumberGrid {
  readonly element: HTMLElement
  readonly #options: GridOptions
  readonly #body = h('tbody')
  readonly #head = h('tr')
  #values: Matrix = []
  #fields: HTMLInputElement[][] = []

  constructor(options: GridOptions) {
    this.#options = options
    this.element = h(
      'figure',
      { class: 'matrix number-grid', 'data-matrix': options.name },
      h('figcaption', {}, h('span', { class: 'symbol' }, options.title)),
      h(
        'div',
        { class: 'grid-scroll' },
        h(
          'table',
          {},
          h('caption', { class: 'visually-hidden' }, options.title),
          h('thead', {}, this.#head),
          this.#body,
        ),
      ),
    )
    this.element.addEventListener('pointerleave', () => options.onPoint(undefined))
  }

  update(values: Matrix, rows: string[]): void {
    const resized = values.length !== this.#values.length || columns(values) !== columns(this.#values)
    this.#values = values
    if (resized) this.#build(rows)
    const scale = scaleOf('diverging', values.flat())
    const map = colormap('diverging', theme())
    for (const [i, row] of values.entries()) {
      const header = this.#body.rows[i]?.cells[0]
      if (header) header.textContent = rows[i] ?? ''
      for (const [j, value] of row.entries()) {
        const field = this.#fields[i]![j]!
        // a field that is being typed into keeps what is typed
        if (document.activeElement !== field || Number(field.value) !== value) field.value = String(value)
        field.setAttribute('aria-label', this.#options.label(rows[i] ?? '', j + 1))
        const index = place(scale, value)
        field.style.backgroundColor = `rgb(${map.colors[index]!.join(' ')})`
        field.style.color = map.ink[index]!
      }
    }
  }

  frame(frames: Frame[]): void {
    for (const [i, row] of this.#fields.entries()) {
      for (const [j, field] of row.entries()) {
        const framed = frames.find(({ row, col }) => (row ?? i) === i && (col ?? j) === j)
        field.classList.toggle('framed', framed !== undefined)
      }
    }
  }

  #build(rows: string[]): void {
    this.#fields = this.#values.map((row, i) => row.map((_, j) => this.#field(i, j)))
    const numbers = this.#values[0]?.map((_, j) => h('th', { scope: 'col' }, String(j + 1))) ?? []
    this.#head.replaceChildren(h('td'), ...numbers)
    this.#body.replaceChildren(
      ...this.#fields.map((fields, i) =>
        h('tr', {}, h('th', { scope: 'row' }, rows[i] ?? ''), ...fields.map(field => h('td', {}, field))),
      ),
    )
  }

  #field(row: number, col: number): HTMLInputElement {
    const field = h('input', {
      type: 'number',
      step: STEP,
      inputmode: 'decimal',
      oninput: () => {
        const value = field.valueAsNumber
        if (Number.isFinite(value)) this.#options.onChange(withValue(this.#values, row, col, value))
      },
      onchange: () => {
        if (!Number.isFinite(field.valueAsNumber)) field.value = String(this.#values[row]![col])
      },
      onpointerenter: () => this.#options.onPoint({ row, col }),
      onfocus: () => this.#options.onPoint({ row, col }),
      onpaste: event => {
        const matrix = parseMatrix(event.clipboardData?.getData('text') ?? '')
        if (matrix === undefined || (matrix.length === 1 && matrix[0]!.length === 1)) return
        event.preventDefault()
        this.#options.onChange(matrix)
      },
    })
    this.#drag(field, row, col)
    return field
  }

  #drag(field: HTMLInputElement, row: number, col: number): void {
    let from: { x: number; value: number } | undefined
    let moved = false
    field.addEventListener('pointerdown', event => {
      if (event.button !== 0 || document.activeElement === field) return
      from = { x: event.clientX, value: this.#values[row]![col]! }
      moved = false
      field.setPointerCapture(event.pointerId)
    })
    // the field takes the focus when the pointer lets go without having dragged
    field.addEventListener('mousedown', event => {
      if (document.activeElement !== field) event.preventDefault()
    })
    field.addEventListener('pointermove', event => {
      if (from === undefined) return
      const steps = Math.round((event.clientX - from.x) / PIXELS_A_STEP)
      if (steps === 0 && !moved) return
      moved = true
      const value = Math.round((from.value + steps * STEP) * 1e6) / 1e6
      if (value !== this.#values[row]![col]) this.#options.onChange(withValue(this.#values, row, col, value))
    })
    const release = () => {
      if (from !== undefined && !moved) {
        field.focus()
        field.select()
      }
      from = undefined
    }
    field.addEventListener('pointerup', release)
    field.addEventListener('pointercancel', () => {
      from = undefined
    })
  }
}
