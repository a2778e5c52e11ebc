/**
 * The grid of layers × heads, a picture in every cell: weights on the left, their gradients on the right. It fills as the
 * frames come; the arrow keys walk through it, Enter opens a map.
 */
import { format } from '../matrix/format.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'
import type { LayersModel } from './model.ts'
import { paintThumbnail } from './paint.ts'
import { PaintQueue } from './paint-queue.ts'
import type { LayersState, Pass } from './state.ts'
import type { Thumbnail } from './thumbnail.ts'

interface Cell {
  button: HTMLButtonElement
  canvas: HTMLCanvasElement
  caption: HTMLElement
}

export class LayerGrid {
  readonly element = h('div', { class: 'layer-grids' })
  readonly #model: LayersModel
  readonly #queue = new PaintQueue()
  #cells = new Map<string, Cell>()
  #at = { pass: 'forward' as Pass, layer: 0, head: 0 }
  #shape = ''

  constructor(model: LayersModel) {
    this.#model = model
    model.painter = thumbnails => this.#paintFrame(thumbnails)
    this.element.addEventListener('keydown', event => this.#walk(event))
  }

  dispose(): void {
    this.#queue.clear()
    this.#model.painter = undefined
  }

  /** Lays the cells out for a run, and paints what has come of it. */
  reset(): void {
    const of = this.#model.of ?? this.#model.state.value
    const shape = `${of.layers} ${of.heads} ${of.backward}`
    if (shape !== this.#shape) this.#build(of)
    this.#shape = shape
    this.#queue.clear()
    for (const cell of this.#cells.values()) clear(cell)
    for (const frame of this.#model.frames) void this.#paintFrame(frame)
    this.showOnly()
  }

  /** Hides what came after the moment that the reader went back to. */
  showOnly(): void {
    const { shown } = this.#model.status.value
    for (const [index, frame] of this.#model.frames.entries()) {
      for (const thumbnail of frame) {
        this.#cells
          .get(keyOf(thumbnail))
          ?.button.classList.toggle('later', shown !== undefined && index >= shown)
      }
    }
  }

  select(): void {
    const { selected } = this.#model.state.value
    for (const [key, { button }] of this.#cells) {
      const [, layer, head] = key.split(' ').map(Number)
      const chosen = selected?.layer === layer && selected?.head === head
      button.setAttribute('aria-pressed', String(chosen))
    }
  }

  #build(of: LayersState): void {
    this.#cells = new Map()
    const sizes = of.layers * of.heads > 0
    const passes: Pass[] = of.backward ? ['forward', 'backward'] : sizes ? ['forward'] : []
    this.element.replaceChildren(...passes.map(pass => this.#grid(pass, of)))
    this.#at = { pass: 'forward', layer: 0, head: 0 }
    this.#cells.get('forward 0 0')?.button.setAttribute('tabindex', '0')
    this.select()
  }

  #grid(pass: Pass, of: LayersState): HTMLElement {
    const title = say()[pass === 'forward' ? 'weightsGrid' : 'gradientsGrid']
    const id = `grid-${pass}`
    const heads = Array.from({ length: of.heads }, (_, head) =>
      h('span', { role: 'columnheader', class: 'head-name' }, String(head + 1)),
    )
    const rows = Array.from({ length: of.layers }, (_, layer) =>
      h(
        'div',
        { role: 'row', class: 'layer-row' },
        h('span', { role: 'rowheader', class: 'layer-name' }, String(layer + 1)),
        ...Array.from({ length: of.heads }, (_, head) => this.#cell(pass, layer, head)),
      ),
    )
    const grid = h(
      'div',
      { role: 'grid', class: 'layer-grid', 'aria-labelledby': id, 'data-pass': pass },
      h(
        'div',
        { role: 'row', class: 'layer-row' },
        h('span', { role: 'columnheader', class: 'layer-name' }, say().layerShort),
        ...heads,
      ),
      ...rows,
    )
    grid.style.setProperty('--heads', String(of.heads))
    return h('section', {}, h('h2', { id }, title), grid)
  }

  #cell(pass: Pass, layer: number, head: number): HTMLElement {
    const canvas = h('canvas', { width: 1, height: 1, 'aria-hidden': 'true' })
    const caption = h('span', { class: 'cell-fact', 'aria-hidden': 'true' })
    const button = h(
      'button',
      {
        type: 'button',
        class: 'cell',
        tabindex: -1,
        'aria-label': say().cellWaiting(layer + 1, head + 1),
        'aria-pressed': 'false',
        'data-cell': `${pass}-${layer}-${head}`,
        onclick: () => {
          this.#moveTo(pass, layer, head)
          this.#model.state.set({ selected: { layer, head } })
        },
      },
      canvas,
      caption,
    )
    this.#cells.set(`${pass} ${layer} ${head}`, { button, canvas, caption })
    return h('span', { role: 'gridcell' }, button)
  }

  async #paintFrame(thumbnails: Thumbnail[]): Promise<void> {
    const { log } = this.#model.state.value
    const painted = thumbnails.map(thumbnail =>
      this.#queue.add(() => {
        const cell = this.#cells.get(keyOf(thumbnail))
        if (cell !== undefined) fill(cell, this.#model.drawn.thumbnail(thumbnail), log)
      }),
    )
    await Promise.all(painted)
  }

  #walk(event: KeyboardEvent): void {
    const { pass, layer, head } = this.#at
    const of = this.#model.of ?? this.#model.state.value
    const steps: Record<string, [number, number]> = {
      ArrowUp: [layer - 1, head],
      ArrowDown: [layer + 1, head],
      ArrowLeft: [layer, head - 1],
      ArrowRight: [layer, head + 1],
      Home: [layer, 0],
      End: [layer, of.heads - 1],
    }
    const to = steps[event.key]
    if (to === undefined) return
    event.preventDefault()
    // past the last head stands the same layer's gradient, and back
    if (to[1] >= of.heads && pass === 'forward' && of.backward) this.#moveTo('backward', layer, 0)
    else if (to[1] < 0 && pass === 'backward') this.#moveTo('forward', layer, of.heads - 1)
    else
      this.#moveTo(
        pass,
        Math.max(0, Math.min(of.layers - 1, to[0])),
        Math.max(0, Math.min(of.heads - 1, to[1])),
      )
  }

  #moveTo(pass: Pass, layer: number, head: number): void {
    const now = this.#at
    this.#cells.get(`${now.pass} ${now.layer} ${now.head}`)?.button.setAttribute('tabindex', '-1')
    this.#at = { pass, layer, head }
    const button = this.#cells.get(`${pass} ${layer} ${head}`)?.button
    button?.setAttribute('tabindex', '0')
    button?.focus()
  }
}

function keyOf({ pass, layer, head }: Thumbnail): string {
  return `${pass} ${layer} ${head}`
}

function clear({ button, canvas, caption }: Cell): void {
  button.classList.remove('filled', 'later')
  canvas.width = 1
  caption.textContent = ''
}

function fill({ button, canvas, caption }: Cell, thumbnail: Thumbnail, log: boolean): void {
  paintThumbnail(canvas, thumbnail, log)
  button.classList.add('filled')
  const fact = factOf(thumbnail)
  caption.textContent = fact
  const { layer, head, pass } = thumbnail
  const words = say()
  const label = pass === 'forward' ? words.cellEntropy : words.cellGradient
  button.setAttribute('aria-label', label(layer + 1, head + 1, fact))
}

/** Below each picture: the mean entropy of its rows; of gradients the largest. */
function factOf({ entropy, scale }: Thumbnail): string {
  if (entropy === undefined) return `±${format(scale, 3)}`
  let sum = 0
  for (const value of entropy) sum += value
  return format(sum / Math.max(1, entropy.length), 2)
}
