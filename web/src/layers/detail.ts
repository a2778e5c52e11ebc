/** The map that was chosen, in full: weights and gradients side by side, the lines of one query, the entropy of its rows. */
import { h } from '../page/dom.ts'
import { count } from '../page/fields.ts'
import { Notice } from '../page/notice.ts'
import { PATIENCE_MS } from '../page/patience.ts'
import { TokenKey } from '../tokens/key.ts'
import { say } from '../words/language.ts'
import { type Absence, isFinal, reasonOf } from './absence.ts'
import { EntropyChart } from './entropy-chart.ts'
import type { FullMap, MapName } from './full-maps.ts'
import { HeadLines } from './head-lines.ts'
import { MapView } from './map-view.ts'
import type { LayersModel } from './model.ts'
import { rowTable } from './row-table.ts'
import { LIMITS, PASSES, type Pass } from './state.ts'

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
  readonly #notice = new Notice()
  readonly #key = new TokenKey()
  readonly #row
  readonly #observer: ResizeObserver
  /** what each view was last given */
  #shown: Partial<Record<Pass, string>> = {}
  #absent: Partial<Record<Pass, Absence>> = {}

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
      this.#notice.element,
      this.#key.element,
      h('div', { class: 'detail-body' }, this.#maps, h('div', { class: 'detail-side' }, ...side)),
    )
    this.#observer = new ResizeObserver(() => this.#fit())
    this.#observer.observe(this.#maps)
  }

  dispose(): void {
    this.#observer.disconnect()
  }

  get #tokens(): string[] {
    return this.#model.drawn.names
  }

  /** Shows what is there, asks for what is not, and says why it does not come. */
  update(): void {
    const { of } = this.#model
    const { selected, log, fold } = this.#model.state.value
    const fits =
      of !== undefined && selected !== undefined && selected.layer < of.layers && selected.head < of.heads
    this.element.hidden = !fits
    if (!fits) return
    this.#title.textContent = say().mapOf(selected.layer + 1, selected.head + 1)
    this.#views.backward.element.hidden = !of.backward
    this.#key.show(of.model ? this.#tokens : [])
    this.#absent = {}
    const passes: readonly Pass[] = of.backward ? PASSES : ['forward']
    for (const pass of passes) {
      const absence = this.#model.seek({ pass, ...selected })
      if (absence !== undefined) this.#absent[pass] = absence
      this.#views[pass].element.hidden = absence !== undefined && isFinal(absence)
      const shown = `${selected.layer} ${selected.head} ${log} ${fold} ${absence?.kind}`
      if (!this.#tables && shown !== this.#shown[pass]) this.#show({ pass, ...selected }, absence)
      this.#shown[pass] = shown
    }
    this.#tell()
    this.#fit()
    this.showRow()
  }

  #show(name: MapName, absence: Absence | undefined): void {
    const map = this.#model.map(name)
    const view = this.#views[name.pass]
    if (map !== undefined) view.show(map, this.#tokens, this.#model.state.value.log)
    else if (absence !== undefined) view.wait(reasonOf(absence))
  }

  /** Says what keeps a map away for good, or for longer than it should, and offers what helps. */
  #tell(): void {
    const model = this.#model
    const again = { label: say().runAgain, act: () => model.again() }
    const retry = { label: say().tryAgain, act: () => model.maps.retry() }
    const missing = PASSES.filter(pass => this.#absent[pass] !== undefined)
    const pass = missing.find(each => isFinal(this.#absent[each]!))
    if (pass === undefined) {
      const overdue = model.status.value.silent && missing.length > 0
      this.#notice.show(overdue ? say().serverSilent(PATIENCE_MS / 1000) : undefined, again)
      return
    }
    const absence = this.#absent[pass]!
    const reason = reasonOf(absence)
    // of two maps one is here: the other is named
    const name = pass === 'forward' ? say().weightsMap : say().gradientsMap
    const one = missing.length === 1 && model.of?.backward
    this.#notice.show(one ? `${name}: ${reason}` : reason, absence.kind === 'refused' ? retry : again)
  }

  /** Colours of the theme are in the pixels: they are painted again. */
  repaint(): void {
    this.#shown = {}
    this.update()
  }

  showRow(): void {
    const { selected } = this.#model.state.value
    if (selected === undefined || this.element.hidden) return
    const tokens = this.#tokens
    const row = Math.min(this.#model.state.value.row, tokens.length - 1)
    const { layer, head } = selected
    this.#row.sync(row + 1)
    const map = (pass: Pass): FullMap | undefined => this.#model.map({ pass, layer, head })
    const weights = map('forward')
    const absence = this.#absent.forward
    const final = absence !== undefined && isFinal(absence)
    if (this.#tables) {
      const table = weights && rowTable(row, tokens, weights, map('backward'))
      const waiting = absence && !final && h('p', { class: 'quiet' }, reasonOf(absence))
      this.#table.replaceChildren(...[table, waiting].filter(each => each instanceof HTMLElement))
    } else {
      for (const view of Object.values(this.#views)) view.row(row)
      this.#lines.element.hidden = final
      this.#lines.show(weights, tokens, row)
    }
    this.#entropy.show(this.#model.thumbnail('forward', layer, head)?.entropy, row)
  }

  #fit(): void {
    const room = this.#maps.clientWidth
    const two = this.#model.of?.backward && room >= 620
    for (const view of Object.values(this.#views)) view.fit(two ? (room - 24) / 2 : room)
  }
}
