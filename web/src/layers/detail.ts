/** The map that was chosen, in full: weights and gradients side by side, the lines of one query, the entropy of its rows. */
import { h } from '../page/dom.ts'
import { count } from '../page/fields.ts'
import { say } from '../words/language.ts'
import { EntropyChart } from './entropy-chart.ts'
import { HeadLines } from './head-lines.ts'
import { MapView } from './map-view.ts'
import type { FullMap, LayersModel } from './model.ts'
import { rowTable } from './row-table.ts'
import { LIMITS, type Pass, tokensOf } from './state.ts'

export class Detail {
  readonly element = h('section', { class: 'detail', 'aria-labelledby': 'detail-title', hidden: true })
  readonly #model: LayersModel
  readonly #tables: boolean
  readonly #title = h('h2', { id: 'detail-title' })
  readonly #views: Record<Pass, MapView>
  readonly #lines = new HeadLines()
  readonly #entropy = new EntropyChart()
  readonly #table = h('div')
  readonly #maps = h('div', { class: 'full-maps' })
  readonly #row
  readonly #observer: ResizeObserver
  #shown = ''

  constructor(model: LayersModel, tables: boolean) {
    this.#model = model
    this.#tables = tables
    const onRow = (row: number) => model.state.set({ row })
    this.#views = { forward: new MapView('forward', onRow), backward: new MapView('backward', onRow) }
    this.#row = count(say().queryRow, 'row', [1, LIMITS.tokens[1]], value => {
      if (value <= this.#tokens.length) onRow(value - 1)
    })
    this.#maps.append(
      ...(tables ? [this.#table] : [this.#views.forward.element, this.#views.backward.element]),
    )
    const side = tables ? [this.#entropy.element] : [this.#lines.element, this.#entropy.element]
    this.element.append(
      h('div', { class: 'detail-head' }, this.#title, this.#row.element),
      h('div', { class: 'detail-body' }, this.#maps, h('div', { class: 'detail-side' }, ...side)),
    )
    this.#observer = new ResizeObserver(() => this.#fit())
    this.#observer.observe(this.#maps)
  }

  dispose(): void {
    this.#observer.disconnect()
  }

  get #tokens(): string[] {
    return tokensOf(this.#model.of ?? this.#model.state.value)
  }

  /** Shows what is there, and asks for what is not. */
  update(): void {
    const { of } = this.#model
    const { selected, log } = this.#model.state.value
    const fits =
      of !== undefined && selected !== undefined && selected.layer < of.layers && selected.head < of.heads
    this.element.hidden = !fits
    if (!fits) return
    const { layer, head } = selected
    this.#title.textContent = say().mapOf(layer + 1, head + 1)
    this.#views.backward.element.hidden = !of.backward
    const tokens = this.#tokens
    for (const pass of ['forward', 'backward'] as const) {
      const map = this.#model.map(pass, layer, head)
      if (map === undefined) this.#ask(pass, layer, head)
      const key = `${pass} ${layer} ${head} ${log} ${map !== undefined}`
      if (!this.#tables && !this.#shown.includes(`|${key}|`)) this.#views[pass].show(map, tokens, log)
    }
    this.#shown = (['forward', 'backward'] as const)
      .map(pass => `|${pass} ${layer} ${head} ${log} ${this.#model.map(pass, layer, head) !== undefined}|`)
      .join('')
    this.#fit()
    this.showRow()
  }

  /** Colours of the theme are in the pixels: they are painted again. */
  repaint(): void {
    this.#shown = ''
    this.update()
  }

  showRow(): void {
    const { selected } = this.#model.state.value
    if (selected === undefined || this.element.hidden) return
    const tokens = this.#tokens
    const row = Math.min(this.#model.state.value.row, tokens.length - 1)
    const { layer, head } = selected
    this.#row.sync(row + 1)
    const map = (pass: Pass): FullMap | undefined => this.#model.map(pass, layer, head)
    const weights = map('forward')
    if (this.#tables) {
      this.#table.replaceChildren(...(weights ? [rowTable(row, tokens, weights, map('backward'))] : []))
    } else {
      for (const view of Object.values(this.#views)) view.row(row)
      this.#lines.show(weights, tokens, row)
    }
    this.#entropy.show(this.#model.thumbnail('forward', layer, head)?.entropy, row)
  }

  get canvases(): HTMLCanvasElement[] {
    return this.#tables ? [] : Object.values(this.#views).map(({ canvas }) => canvas)
  }

  #ask(pass: Pass, layer: number, head: number): void {
    if (this.#model.thumbnail(pass, layer, head) === undefined) return
    void this.#model.fetchMap(pass, layer, head).then(() => {
      const { selected } = this.#model.state.value
      if (selected?.layer === layer && selected.head === head) this.update()
    })
  }

  #fit(): void {
    const room = this.#maps.clientWidth
    const two = this.#model.of?.backward && room >= 620
    for (const view of Object.values(this.#views)) view.fit(two ? (room - 24) / 2 : room)
  }
}
