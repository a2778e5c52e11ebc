/** What the Attention view shows, and how it stands in the address. */
import { type Matrix, parseMatrix, writeMatrix } from '../matrix/matrix.ts'
import { SEEDED } from '../page/address.ts'
import { embed, project, words } from './seeded.ts'

export const CAUSAL = ['none', 'top_left', 'bottom_right'] as const
export type Causal = (typeof CAUSAL)[number]
/** What is read where nobody has written anything, and no model reads it. */
export const SENTENCE = 'The animal did not cross the street because it was too tired'
export const MOST_HEADS = 256
export const LARGEST = { numbers: 12, tokens: 64, dim: 32 } as const

export interface AttentionState {
  source: 'numbers' | 'sentence'
  /** q [N, d_k], k [M, d_k], v [M, d_v], target [N, d_v] */
  q: Matrix
  k: Matrix
  v: Matrix
  target: Matrix
  /** names of the positions; those without one are numbered */
  tokens: string[]
  /** undefined: what is shown where nobody has written anything */
  sentence: string | undefined
  /** whose head the sentence goes through; undefined: the first model that the server has */
  model: string | undefined
  /** undefined: the one that is worth seeing first */
  head: { layer: number; head: number } | undefined
  dim: number
  seed: number
  causal: Causal
  /** how many keys at the end are padding */
  padding: number
  window: { left: number; right: number } | undefined
  gradients: boolean
  cell: Cell | undefined
}

/** A cell that is pointed at. */
export interface Cell {
  matrix: string
  row: number
  col: number
}

const X: Matrix = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]

/** The article's worked example. */
export const WORKED_EXAMPLE: AttentionState = {
  source: 'numbers',
  q: X,
  k: X,
  v: X,
  target: X,
  tokens: ['cat', 'sat', 'mat'],
  sentence: undefined,
  model: undefined,
  head: undefined,
  dim: 8,
  seed: 1,
  causal: 'none',
  padding: 0,
  window: undefined,
  gradients: false,
  cell: undefined,
}

export interface Inputs {
  q: Matrix
  k: Matrix
  v: Matrix
  target: Matrix
  queries: string[]
  keys: string[]
}

/** The tensors of the state: those typed, or those of the sentence. */
export function inputsOf(state: AttentionState): Inputs {
  if (state.source === 'numbers') {
    const { q, k, v, target, tokens } = state
    const named = (matrix: Matrix) => matrix.map((_, index) => tokens[index] ?? String(index + 1))
    return { q, k, v, target, queries: named(q), keys: named(k) }
  }
  const tokens = words(state.sentence ?? SENTENCE).slice(0, LARGEST.tokens)
  const x = embed(tokens, state.dim, state.seed)
  const [q, k, v] = ['q', 'k', 'v'].map(name => project(x, `${state.seed} w_${name}`)) as [
    Matrix,
    Matrix,
    Matrix,
  ]
  return { q, k, v, target: v, queries: tokens, keys: tokens }
}

const same = (left: unknown, right: unknown) => JSON.stringify(left) === JSON.stringify(right)

/** Only what differs from the worked example stands in the address. */
export function writeState(state: AttentionState): URLSearchParams {
  const params = new URLSearchParams()
  const initial = WORKED_EXAMPLE
  if (state.source === 'sentence') {
    params.set('sentence', state.sentence ?? SENTENCE)
    if (state.model) {
      params.set('model', state.model)
      if (state.head !== undefined) params.set('head', `${state.head.layer},${state.head.head}`)
    } else {
      params.set('d', String(state.dim))
      params.set('seed', String(state.seed))
    }
  } else {
    for (const name of ['q', 'k', 'v', 'target'] as const) {
      if (!same(state[name], initial[name])) params.set(name, writeMatrix(state[name]))
    }
    if (!same(state.tokens, initial.tokens)) params.set('tokens', state.tokens.join(' '))
  }
  if (state.causal !== 'none') params.set('causal', state.causal)
  if (state.padding > 0) params.set('padding', String(state.padding))
  if (state.window !== undefined) params.set('window', `${state.window.left},${state.window.right}`)
  if (state.gradients) params.set('gradients', '1')
  if (state.cell !== undefined) {
    const { matrix, row, col } = state.cell
    params.set('cell', `${matrix},${row},${col}`)
  }
  return params
}

/** An address is written by anybody: what does not fit is left as it was. */
export function readState(params: URLSearchParams): AttentionState {
  const state: AttentionState = { ...WORKED_EXAMPLE }
  const sentence = params.get('sentence')
  if (sentence !== null) {
    state.source = 'sentence'
    state.sentence = sentence.slice(0, 2000)
    state.dim = whole(params.get('d'), 2, LARGEST.dim) ?? state.dim
    state.seed = whole(params.get('seed'), 0, 2 ** 31) ?? state.seed
    // addresses from before there were models have none
    state.model = params.get('model')?.slice(0, 255) ?? SEEDED
    const [layer, head] = (params.get('head') ?? '').split(',').map(text => whole(text, 0, MOST_HEADS - 1))
    if (layer !== undefined && head !== undefined) state.head = { layer, head }
  } else readMatrices(params, state)
  const causal = CAUSAL.find(name => name === params.get('causal'))
  if (causal !== undefined) state.causal = causal
  state.padding = whole(params.get('padding'), 0, LARGEST.tokens) ?? 0
  const [left, right] = (params.get('window') ?? '').split(',').map(text => whole(text, 0, LARGEST.tokens))
  if (left !== undefined && right !== undefined) state.window = { left, right }
  state.gradients = params.get('gradients') === '1'
  const [matrix = '', row, col] = (params.get('cell') ?? '').split(',')
  const at = { row: whole(row, 0, 1000), col: whole(col, 0, 1000) }
  if (/^\w+$/.test(matrix) && at.row !== undefined && at.col !== undefined) {
    state.cell = { matrix, row: at.row, col: at.col }
  }
  return state
}

function readMatrices(params: URLSearchParams, state: AttentionState): void {
  const read = (name: 'q' | 'k' | 'v' | 'target') => {
    const matrix = parseMatrix(params.get(name) ?? '')
    return matrix !== undefined && matrix.length <= LARGEST.numbers && matrix[0]!.length <= LARGEST.numbers
      ? matrix
      : state[name]
  }
  const { q, k, v, target } = { q: read('q'), k: read('k'), v: read('v'), target: read('target') }
  const fits =
    q[0]!.length === k[0]!.length &&
    k.length === v.length &&
    target.length === q.length &&
    target[0]!.length === v[0]!.length
  if (fits) Object.assign(state, { q, k, v, target })
  const tokens = params.get('tokens')
  if (tokens !== null) state.tokens = words(tokens).slice(0, LARGEST.numbers)
}

function whole(text: string | null | undefined, low: number, high: number): number | undefined {
  if (text === null || text === undefined || !/^\d+$/.test(text)) return undefined
  const value = Number(text)
  return value >= low && value <= high ? value : undefined
}
