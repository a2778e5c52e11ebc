/**
 * A matrix as a picture: a canvas, above it a thin layer of SVG that frames what is pointed at, and below it a legend. The
 * arrow keys walk through the cells; a table takes the picture's place for those who ask for tables.
 */
import { Legend } from '../color/legend.ts'
import { formula, h, svg } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { drawMatrix, type Geometry, geometryOf, type Ink, type Picture } from './draw-matrix.ts'
import { columns } from './matrix.ts'
import { matrixTable } from './matrix-table.ts'

/** What is framed: a cell, a whole row, or a whole column. */
export interface Frame {
  row?: number | undefined
  col?: number | undefined
  /** the cell pointed at, rather than a part of its sum */
  main?: boolean
}

export interface MatrixOptions {
  name: string
  title: string
  hint: string
  tables: boolean
  onPoint(cell: { row: number; col: number } | undefined, how: 'pointer' | 'keyboard'): void
}

export class MatrixView {
  readonly element: HTMLElement
  readonly #options: MatrixOptions
  readonly #canvas = h('canvas', { 'aria-hidden': 'true' })
  readonly #overlay = svg('svg', { 'aria-hidden': 'true' })
  readonly #stage: HTMLElement
  readonly #legend = new Legend()
  readonly #note = h('span', { class: 'note' })
  #picture: Picture | undefined
  #geometry: Geometry | undefined
  #room = 420
  #at = { row: 0, col: 0 }

  constructor(options: MatrixOptions) {
    this.#options = options
    this.#stage = h('div', { class: options.tables ? 'stage stage-table' : 'stage' })
    if (!options.tables) this.#prepareStage()
    this.element = h(
      'figure',
      { class: 'matrix', 'data-matrix': options.name },
      h('figcaption', {}, h('span', { class: 'symbol' }, options.title), this.#note),
      this.#stage,
      this.#legend.element,
    )
  }

  #prepareStage(): void {
    const stage = this.#stage
    stage.tabIndex = 0
    stage.setAttribute('role', 'application')
    stage.append(this.#canvas, this.#overlay)
    stage.addEventListener('pointermove', event => this.#options.onPoint(this.#hit(event), 'pointer'))
    stage.addEventListener('pointerdown', event => this.#options.onPoint(this.#hit(event), 'pointer'))
    stage.addEventListener('focus', () => {
      if (stage.matches(':focus-visible')) this.#options.onPoint(this.#at, 'keyboard')
    })
    stage.addEventListener('keydown', event => this.#walk(event))
  }

  update(picture: Picture, note = ''): void {
    this.#picture = picture
    this.#note.replaceChildren(...formula(note))
    this.#legend.update(picture.scale)
    const { name, title, hint, tables } = this.#options
    if (tables) {
      this.#stage.replaceChildren(matrixTable(name, title, picture))
      return
    }
    this.#stage.setAttribute(
      'aria-label',
      `${title}, ${picture.values.length} × ${columns(picture.values)}. ${hint}`,
    )
    this.draw()
  }

  /** Says how wide the picture may become. */
  fit(room: number): void {
    if (room === this.#room) return
    this.#room = room
    this.draw()
  }

  draw(): void {
    if (this.#picture === undefined || this.#options.tables) return
    this.#geometry = geometryOf(this.#picture, this.#room)
    const { width, height } = this.#geometry
    const ratio = devicePixelRatio
    const context = this.#canvas.getContext('2d')
    if (context === null) return
    this.#canvas.width = Math.round(width * ratio)
    this.#canvas.height = Math.round(height * ratio)
    for (const layer of [this.#canvas, this.#overlay]) {
      layer.style.width = `${width}px`
      layer.style.height = `${height}px`
    }
    this.#overlay.setAttribute('viewBox', `0 0 ${width} ${height}`)
    context.scale(ratio, ratio)
    drawMatrix(context, this.#picture, this.#geometry, theme(), inkOf(this.#stage))
  }

  frame(frames: Frame[]): void {
    const { row, col } = frames.find(({ main }) => main) ?? {}
    if (row !== undefined && col !== undefined) this.#at = { row, col }
    if (this.#options.tables) return
    const inside = frames.filter(({ row = 0, col = 0 }) => row < this.#rows && col < this.#cols)
    this.#overlay.replaceChildren(...inside.map(frame => this.#rectangle(frame)))
  }

  #rectangle({ row, col, main }: Frame): SVGRectElement {
    const { x, y, cellWidth, cellHeight } = this.#geometry!
    return svg('rect', {
      class: main ? 'frame-main' : 'frame-part',
      x: x + (col ?? 0) * cellWidth - 0.5,
      y: y + (row ?? 0) * cellHeight - 0.5,
      width: (col === undefined ? this.#cols : 1) * cellWidth,
      height: (row === undefined ? this.#rows : 1) * cellHeight,
      rx: cellWidth >= 20 ? 3 : 0,
    })
  }

  #hit(event: PointerEvent): { row: number; col: number } | undefined {
    if (this.#geometry === undefined || this.#picture === undefined) return undefined
    const { x, y, cellWidth, cellHeight } = this.#geometry
    const box = this.#canvas.getBoundingClientRect()
    const col = Math.floor((event.clientX - box.left - x) / cellWidth)
    const row = Math.floor((event.clientY - box.top - y) / cellHeight)
    return row >= 0 && col >= 0 && row < this.#rows && col < this.#cols ? { row, col } : undefined
  }

  #walk(event: KeyboardEvent): void {
    const [rows, cols] = [this.#rows, this.#cols]
    const { row, col } = this.#at
    const steps: Record<string, { row: number; col: number }> = {
      ArrowUp: { row: row - 1, col },
      ArrowDown: { row: row + 1, col },
      ArrowLeft: { row, col: col - 1 },
      ArrowRight: { row, col: col + 1 },
      Home: { row, col: 0 },
      End: { row, col: cols - 1 },
      PageUp: { row: 0, col },
      PageDown: { row: rows - 1, col },
    }
    if (event.key === 'Escape') this.#options.onPoint(undefined, 'keyboard')
    const to = steps[event.key]
    if (to === undefined || rows === 0) return
    event.preventDefault()
    this.#at = { row: clamp(to.row, rows), col: clamp(to.col, cols) }
    this.#options.onPoint(this.#at, 'keyboard')
    this.#overlay.querySelector('.frame-main')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }

  get #rows(): number {
    return this.#picture?.values.length ?? 0
  }

  get #cols(): number {
    return columns(this.#picture?.values ?? [])
  }
}

function clamp(index: number, count: number): number {
  return Math.max(0, Math.min(count - 1, index))
}

function inkOf(element: HTMLElement): Ink {
  const style = getComputedStyle(element)
  return {
    text: style.color,
    hatch: style.getPropertyValue('--hatch-ink'),
    paper: style.getPropertyValue('--hatch-paper'),
  }
}
