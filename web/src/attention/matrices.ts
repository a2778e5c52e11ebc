/** The matrices of the view by name, in the order in which they are computed, with what each is made of. */
import type { MapKind } from '../color/colormap.ts'
import type { Matrix } from '../matrix/matrix.ts'
import type { AttentionResult } from './request.ts'

export type Name =
  | ('q' | 'k' | 'v' | 'target')
  | ('products' | 'scores' | 'masked_scores' | 'weights' | 'entropy' | 'output')
  | ('grad_output' | 'grad_weights' | 'grad_scores' | 'grad_q' | 'grad_k' | 'grad_v')

/** What stands along an axis: query positions, key positions, the elements of a vector, or nothing but one number. */
export type Axis = 'queries' | 'keys' | 'elements' | 'one'

export interface Kind {
  /** as a formula writes it */
  symbol: string
  axes: [rows: Axis, cols: Axis]
  colors: MapKind
  of(result: AttentionResult): Matrix | undefined
}

export const KINDS: Record<Name, Kind> = {
  q: { symbol: 'Q', axes: ['queries', 'elements'], colors: 'diverging', of: ({ inputs }) => inputs.q },
  k: { symbol: 'K', axes: ['keys', 'elements'], colors: 'diverging', of: ({ inputs }) => inputs.k },
  v: { symbol: 'V', axes: ['keys', 'elements'], colors: 'diverging', of: ({ inputs }) => inputs.v },
  target: {
    symbol: 'T',
    axes: ['queries', 'elements'],
    colors: 'diverging',
    of: ({ inputs }) => inputs.target,
  },
  products: {
    symbol: 'Q·Kᵀ',
    axes: ['queries', 'keys'],
    colors: 'diverging',
    of: ({ products }) => products,
  },
  scores: { symbol: 'S', axes: ['queries', 'keys'], colors: 'diverging', of: ({ scores }) => scores },
  masked_scores: {
    symbol: 'S′',
    axes: ['queries', 'keys'],
    colors: 'diverging',
    of: ({ maskedScores }) => maskedScores,
  },
  weights: { symbol: 'P', axes: ['queries', 'keys'], colors: 'sequential', of: ({ weights }) => weights },
  entropy: {
    symbol: 'H',
    axes: ['queries', 'one'],
    colors: 'sequential',
    of: ({ entropy }) => entropy.map(value => [value]),
  },
  output: { symbol: 'O', axes: ['queries', 'elements'], colors: 'diverging', of: ({ output }) => output },
  grad_output: {
    symbol: '∂O',
    axes: ['queries', 'elements'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.output,
  },
  grad_weights: {
    symbol: '∂P',
    axes: ['queries', 'keys'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.weights,
  },
  grad_scores: {
    symbol: '∂S',
    axes: ['queries', 'keys'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.scores,
  },
  grad_q: {
    symbol: '∂Q',
    axes: ['queries', 'elements'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.q,
  },
  grad_k: {
    symbol: '∂K',
    axes: ['keys', 'elements'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.k,
  },
  grad_v: {
    symbol: '∂V',
    axes: ['keys', 'elements'],
    colors: 'diverging',
    of: ({ gradients }) => gradients?.v,
  },
}

export const NAMES = Object.keys(KINDS) as Name[]

export function isName(text: string): text is Name {
  return text in KINDS
}

export function labels(
  axis: Axis,
  length: number,
  { queries, keys }: { queries: string[]; keys: string[] },
): string[] {
  if (axis === 'queries') return queries
  if (axis === 'keys') return keys
  if (axis === 'one') return ['H']
  return Array.from({ length }, (_, index) => String(index + 1))
}

/** The parts of other matrices that a cell was computed from: a whole row, a whole column, or one cell. */
export interface Part {
  matrix: Name
  row?: number
  col?: number
}

export function partsOf(name: Name, row: number, col: number): Part[] {
  const cell = (matrix: Name): Part => ({ matrix, row, col })
  switch (name) {
    case 'products':
      return [
        { matrix: 'q', row },
        { matrix: 'k', row: col },
      ]
    case 'scores':
      return [cell('products'), { matrix: 'q', row }, { matrix: 'k', row: col }]
    case 'masked_scores':
      return [cell('scores'), cell('products')]
    case 'weights':
      return [{ matrix: 'masked_scores', row }, cell('scores'), cell('products')]
    case 'entropy':
      return [{ matrix: 'weights', row }]
    case 'output':
      return [
        { matrix: 'weights', row },
        { matrix: 'v', col },
      ]
    case 'grad_output':
      return [cell('output'), cell('target')]
    case 'grad_weights':
      return [
        { matrix: 'grad_output', row },
        { matrix: 'v', row: col },
      ]
    case 'grad_scores':
      return [
        { matrix: 'weights', row },
        { matrix: 'grad_weights', row },
      ]
    case 'grad_q':
      return [
        { matrix: 'grad_scores', row },
        { matrix: 'k', col },
      ]
    case 'grad_k':
      return [
        { matrix: 'grad_scores', col: row },
        { matrix: 'q', col },
      ]
    case 'grad_v':
      return [
        { matrix: 'weights', col: row },
        { matrix: 'grad_output', col },
      ]
    default:
      return []
  }
}
