/** The matrices in the order of their computation, with what joins them; pointing at a cell frames what it came from. */
import { scaleOf } from '../color/scale.ts'
import type { Picture } from '../matrix/draw-matrix.ts'
import { format } from '../matrix/format.ts'
import { columns, type Matrix, resized } from '../matrix/matrix.ts'
import { type Frame, MatrixView } from '../matrix/matrix-view.ts'
import { NumberGrid } from '../matrix/number-grid.ts'
import { formula, h } from '../page/dom.ts'
import { TokenKey } from '../tokens/key.ts'
import { say } from '../words/language.ts'
import { isName, KINDS, labels, type Name, partsOf } from './matrices.ts'
import type { AttentionModel } from './model.ts'
import type { AttentionResult } from './request.ts'
import type { AttentionState } from './state.ts'

const INPUTS = ['q', 'k', 'v', 'target'] as const
const FORWARD: Name[] = ['products', 'scores', 'masked_scores', 'weights', 'entropy', 'output']
/** Of a model's head: what is worth seeing first comes first. */
const OF_HEAD: Name[] = ['weights', 'entropy', 'masked_scores']
const BACKWARD: Name[] = ['grad_output', 'grad_weights', 'grad_scores', 'grad_q', 'grad_k', 'grad_v']

export function titleOf(name: Name, ofHead = false): string {
  // what a model adds to its scores is part of them
  const text = ofHead && name === 'masked_scores' ? say().modelScores : say()[name]
  return `${KINDS[name].symbol}  ${text}`
}

export function pictureOf(result: AttentionResult, name: Name): Picture | undefined {
  const values = KINDS[name].of(result)
  if (values === undefined || values.length === 0) return undefined
  const [rows, cols] = KINDS[name].axes
  return {
    values,
    rows: labels(rows, values.length, result.inputs),
    cols: labels(cols, columns(values), result.inputs),
    scale: scaleOf(KINDS[name].colors, values.flat()),
  }
}

export class Flow {
  readonly element = h('div', { class: 'flow' })
  readonly #model: AttentionModel
  readonly #tables: boolean
  readonly #views = new Map<Name, MatrixView>()
  readonly #grids = new Map<Name, NumberGrid>()
  readonly #inputs = h('div', { class: 'matrices' })
  readonly #forward = h('div', { class: 'matrices' })
  readonly #backward = h('div', { class: 'matrices' })
  readonly #inputsSection: HTMLElement
  readonly #backwardSection: HTMLElement
  readonly #hint = h('p', { class: 'hint' }, say().inputsHint)
  readonly #key = new TokenKey()
  readonly #loss = h('p', { class: 'loss', role: 'note' })
  readonly #observer: ResizeObserver
  #shape = ''

  constructor(model: AttentionModel, tables: boolean) {
    this.#model = model
    this.#tables = tables
    this.#inputsSection = section('inputs', say().inputs, this.#hint, this.#inputs)
    this.#backwardSection = section('backward', say().backward, this.#loss, this.#backward)
    this.element.append(
      this.#inputsSection,
      section('forward', say().forward, this.#key.element, this.#forward),
      this.#backwardSection,
    )
    this.#observer = new ResizeObserver(() => this.#fit())
    this.#observer.observe(this.element)
  }

  dispose(): void {
    this.#observer.disconnect()
  }

  /** Redraws everything, as a change of theme or fonts asks for. */
  redraw(): void {
    this.update()
  }

  update(): void {
    const state = this.#model.shown
    const { result } = this.#model.answer.value
    this.#arrange(state)
    this.#backwardSection.hidden = !state.gradients
    this.#hint.hidden = state.source === 'sentence'
    this.#inputsSection.hidden = Boolean(state.model)
    for (const [name, grid] of this.#grids) {
      const values = state[name as (typeof INPUTS)[number]]
      const tokens = values.map((_, index) => state.tokens[index] ?? String(index + 1))
      grid.update(values, tokens)
    }
    this.#key.show(state.model && result ? result.inputs.keys : [])
    if (result !== undefined) {
      for (const [name, view] of this.#views) {
        const picture = pictureOf(result, name)
        if (picture !== undefined) view.update(picture, noteOf(name, result))
      }
      this.#loss.textContent = result.gradients ? say().lossIs(format(result.gradients.loss, 6)) : ''
    }
    this.frame()
  }

  /** Frames the cell pointed at and the parts of its sum. */
  frame(): void {
    const { cell } = this.#model.state.value
    const frames = new Map<Name, Frame[]>()
    if (cell !== undefined && isName(cell.matrix)) {
      const { matrix, row, col } = cell
      for (const part of partsOf(matrix, row, col)) {
        frames.set(part.matrix, [...(frames.get(part.matrix) ?? []), { row: part.row, col: part.col }])
      }
      frames.set(matrix, [...(frames.get(matrix) ?? []), { row, col, main: true }])
    }
    const { result } = this.#model.answer.value
    for (const [name, view] of this.#views)
      if (result && KINDS[name].of(result)) view.frame(frames.get(name) ?? [])
    for (const [name, grid] of this.#grids) grid.frame(frames.get(name) ?? [])
  }

  /** Makes the views anew where the kind of inputs or the wish for gradients has changed. */
  #arrange(state: AttentionState): void {
    const shape = `${state.source} ${state.gradients} ${Boolean(state.model)}`
    if (shape === this.#shape) return
    this.#shape = shape
    this.#views.clear()
    this.#grids.clear()
    const shown = state.model ? [] : INPUTS.filter(name => name !== 'target' || state.gradients)
    const inputs = shown.map(name => (state.source === 'numbers' ? this.#grid(name) : this.#view(name)))
    this.#inputs.replaceChildren(...inputs)
    const forward = state.model
      ? OF_HEAD.map(name => this.#view(name))
      : FORWARD.map(name => this.#joined(name))
    this.#forward.replaceChildren(...forward)
    this.#backward.replaceChildren(...(state.gradients ? BACKWARD.map(name => this.#view(name)) : []))
    this.#fit()
  }

  #joined(name: Name): HTMLElement {
    const view = this.#view(name)
    const operator = {
      scores: '÷ √d_k',
      masked_scores: `+ ${say().stepMask}`,
      weights: 'softmax',
      output: '· V',
    }[name as string]
    if (operator === undefined) return view
    const sign = h('div', { class: 'operator', 'aria-hidden': 'true' }, ...formula(operator))
    return h('div', { class: 'joined' }, sign, view)
  }

  #view(name: Name): HTMLElement {
    const view = new MatrixView({
      name,
      title: titleOf(name, Boolean(this.#model.shown.model)),
      hint: say().matrixHint,
      tables: this.#tables,
      onPoint: (cell, how) => {
        if (cell !== undefined) this.#point(name, cell.row, cell.col)
        else if (how === 'keyboard') this.#model.state.set({ cell: undefined })
      },
    })
    this.#views.set(name, view)
    return view.element
  }

  #grid(name: (typeof INPUTS)[number]): HTMLElement {
    const grid = new NumberGrid({
      name,
      title: titleOf(name),
      label: (row, col) => say().inputLabel(KINDS[name].symbol, row, col),
      onPoint: cell => {
        if (cell !== undefined) this.#point(name, cell.row, cell.col)
      },
      onChange: matrix => this.#model.state.set(consistent(this.#model.state.value, name, matrix)),
    })
    this.#grids.set(name, grid)
    return grid.element
  }

  #point(matrix: Name, row: number, col: number): void {
    const { cell } = this.#model.state.value
    if (cell?.matrix === matrix && cell.row === row && cell.col === col) return
    this.#model.state.set({ cell: { matrix, row, col } })
  }

  #fit(): void {
    const room = Math.max(120, this.element.clientWidth - 2)
    for (const view of this.#views.values()) view.fit(room)
    this.frame()
  }
}

function section(id: string, title: string, ...children: HTMLElement[]): HTMLElement {
  return h(
    'section',
    { class: 'step', 'aria-labelledby': `step-${id}` },
    h('h2', { id: `step-${id}` }, title),
    ...children,
  )
}

function noteOf(name: Name, result: AttentionResult): string {
  return name === 'scores' && result.inputs.q.length > 0
    ? `√d_k = ${format(Math.sqrt(columns(result.inputs.q)), 3)}`
    : ''
}

/** A matrix of another size takes the others with it: q and k share d_k, k and v their rows, the target is shaped as O. */
export function consistent(
  state: AttentionState,
  name: (typeof INPUTS)[number],
  matrix: Matrix,
): Partial<AttentionState> {
  const { q, k, v, target }: Pick<AttentionState, 'q' | 'k' | 'v' | 'target'> = { ...state, [name]: matrix }
  const queries = name === 'target' ? matrix.length : q.length
  const keys = name === 'v' ? v.length : k.length
  const dim = columns(name === 'k' ? k : q)
  const dimValue = columns(name === 'target' ? target : v)
  return {
    q: resized(q, queries, dim),
    k: resized(k, keys, dim),
    v: resized(v, keys, dimValue),
    target: resized(target, queries, dimValue),
  }
}
