/** One map in full: a pixel a pair of tokens, the tokens along its sides, and a cross on the pair that is pointed at. */
import { Legend } from '../color/legend.ts'
import { format } from '../matrix/format.ts'
import { h, svg } from '../page/dom.ts'
import { say } from '../words/language.ts'
import type { FullMap } from './full-maps.ts'
import { paintMap } from './paint.ts'
import { PaintQueue } from './paint-queue.ts'
import type { Pass } from './state.ts'

const LABEL_ROOM = 74
/** the last key's name leans out of the map */
const SLANT = 26
const LABEL_HEIGHT = 13
/** on a large screen a map is not wider than this */
const LARGEST = 560

export class MapView {
  readonly element: HTMLElement
  readonly #pass: Pass
  readonly #canvas = h('canvas', { 'aria-hidden': 'true', class: 'map-pixels' })
  readonly #overlay = svg('svg', { 'aria-hidden': 'true' })
  readonly #reason = h('p', { class: 'map-reason', hidden: true })
  readonly #stage = h(
    'div',
    { class: 'map-stage', tabindex: 0, role: 'application' },
    this.#canvas,
    this.#overlay,
    this.#reason,
  )
  readonly #legend = new Legend()
  readonly #said = h('p', { class: 'map-value' })
  readonly #queue = new PaintQueue()
  readonly #onRow: (row: number) => void
  #map: FullMap | undefined
  #tokens: string[] = []
  #row = 0
  #col = 0
  #side = 0

  constructor(pass: Pass, onRow: (row: number) => void) {
    this.#pass = pass
    this.#onRow = onRow
    const title = pass === 'forward' ? say().weightsMap : say().gradientsMap
    this.#stage.setAttribute('aria-label', `${title}. ${say().mapHint}`)
    this.element = h(
      'figure',
      { class: 'full-map', 'data-map': pass },
      h('figcaption', {}, title),
      this.#stage,
      h('div', { class: 'map-foot' }, this.#legend.element, this.#said),
    )
    this.#stage.addEventListener('pointermove', event => this.#point(event))
    this.#stage.addEventListener('pointerdown', event => this.#point(event))
    this.#stage.addEventListener('keydown', event => this.#walk(event))
  }

  show(map: FullMap, tokens: string[], log: boolean): void {
    this.#map = map
    this.#tokens = tokens
    this.element.classList.remove('waiting')
    this.#reason.hidden = true
    this.#queue.clear()
    const { scale, bands } = paintMap(this.#canvas, map, this.#pass, log)
    for (const band of bands) void this.#queue.add(band)
    this.#legend.update(scale)
    this.#lay()
  }

  /** Keeps the room of a map that is not here, and says why it is not. */
  wait(reason: string): void {
    this.#map = undefined
    this.#queue.clear()
    this.element.classList.add('waiting')
    this.#reason.textContent = reason
    this.#reason.hidden = false
    this.#said.textContent = ''
    this.#lay()
  }

  /** Says how wide the map may become. */
  fit(room: number): void {
    const side = Math.max(120, Math.min(LARGEST, room - LABEL_ROOM - SLANT))
    if (side === this.#side) return
    this.#side = side
    this.#lay()
  }

  row(row: number): void {
    this.#row = row
    this.#cross()
  }

  #lay(): void {
    const side = this.#side
    for (const { style } of [this.#canvas, this.#reason]) {
      style.left = style.top = `${LABEL_ROOM}px`
      style.width = style.height = `${side}px`
    }
    const whole = side + LABEL_ROOM + SLANT
    Object.assign(this.#stage.style, { width: `${whole}px`, height: `${side + LABEL_ROOM + 2}px` })
    this.#canvas.classList.toggle('pixelated', this.#map !== undefined && this.#map.cols < side)
    this.#overlay.setAttribute('viewBox', `0 0 ${whole} ${side + LABEL_ROOM + 2}`)
    this.#cross()
  }

  /** Token names where they fit, and the cross over them. */
  #cross(): void {
    const map = this.#map
    if (map === undefined) return
    const cell = this.#side / map.cols
    const step = Math.max(1, Math.ceil(LABEL_HEIGHT / cell))
    const labels: SVGElement[] = []
    const named = (chosen: number) => {
      // the chosen one is named whatever comes, in the place of what would stand under it
      const regular = Array.from({ length: Math.ceil(map.cols / step) }, (_, index) => index * step)
      return [...regular.filter(index => Math.abs(index - chosen) >= step), chosen]
    }
    for (const index of named(this.#row)) {
      const y = LABEL_ROOM + (index + 0.5) * cell
      const chosen = index === this.#row ? 'chosen' : ''
      const text = short(this.#tokens[index] ?? '')
      labels.push(
        svg(
          'text',
          { x: LABEL_ROOM - 6, y, 'text-anchor': 'end', 'dominant-baseline': 'central', class: chosen },
          text,
        ),
      )
    }
    for (const index of named(this.#col)) {
      const x = LABEL_ROOM + (index + 0.5) * cell
      const chosen = index === this.#col ? 'chosen' : ''
      const text = short(this.#tokens[index] ?? '')
      const transform = `translate(${x} ${LABEL_ROOM - 6}) rotate(-60)`
      labels.push(svg('text', { transform, 'dominant-baseline': 'central', class: chosen }, text))
    }
    const y = LABEL_ROOM + this.#row * cell
    const x = LABEL_ROOM + this.#col * cell
    const size = Math.max(2, cell)
    this.#overlay.replaceChildren(
      ...labels,
      svg('rect', {
        class: cell < 8 ? 'frame-line' : 'frame-part',
        x: LABEL_ROOM,
        y: y - 0.5,
        width: this.#side,
        height: size + 1,
      }),
      svg('rect', { class: 'frame-main', x, y, width: size, height: size }),
    )
    const value = map.data[this.#row * map.cols + this.#col] ?? Number.NaN
    const [query, key] = [this.#tokens[this.#row] ?? '', this.#tokens[this.#col] ?? '']
    this.#said.textContent = say().pairValue(query, this.#row + 1, key, this.#col + 1, format(value, 5))
  }

  #point(event: PointerEvent): void {
    if (this.#map === undefined) return
    const box = this.#canvas.getBoundingClientRect()
    const col = Math.floor(((event.clientX - box.left) / box.width) * this.#map.cols)
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.#map.rows)
    if (col >= 0 && row >= 0 && col < this.#map.cols && row < this.#map.rows) this.#move(row, col)
  }

  #walk(event: KeyboardEvent): void {
    if (this.#map === undefined) return
    const far = event.shiftKey ? 10 : 1
    const steps: Record<string, [number, number]> = {
      ArrowUp: [this.#row - far, this.#col],
      ArrowDown: [this.#row + far, this.#col],
      ArrowLeft: [this.#row, this.#col - far],
      ArrowRight: [this.#row, this.#col + far],
    }
    const to = steps[event.key]
    if (to === undefined) return
    event.preventDefault()
    this.#move(clamp(to[0], this.#map.rows), clamp(to[1], this.#map.cols))
  }

  #move(row: number, col: number): void {
    this.#col = col
    if (row !== this.#row) this.#onRow(row)
    else this.#cross()
  }
}

function clamp(index: number, count: number): number {
  return Math.max(0, Math.min(count - 1, index))
}

function short(token: string): string {
  return token.length > 9 ? `${token.slice(0, 8)}…` : token
}
