/** What a dialect is: how one library reads the fields that the field's libraries read differently. */
import type { TensorSource } from '../../../formats/tensor.ts'
import type { EmptyRows } from '../empty-rows.ts'
import type { Span, Window } from '../masks/window.ts'
import type { Call, Cannot } from './call.ts'
import type { Meaning } from './meaning.ts'

/** What of a request decides where row i stands among the keys. */
export interface Around {
  causal: boolean
  kvLengths: boolean
  qLengths: boolean
  past: boolean
}

/**
 * Where row i stands: at P + i, at i + m − n with each batch element's own lengths, or at i + M − N whatever is padding.
 */
export type Corner = 'top_left' | 'bottom_right' | 'bottom_right_of_all'

/** The axes that a mask is for. */
export interface Axes {
  /** of the weights */
  rank: number
  batch: number
  heads: number
}

export interface Dialect {
  /** library, version and what of it is meant */
  library: string
  /** the order of axes of tensors of rank 4 */
  layout: 'bhnd' | 'bnhd'
  /** whether tensors of rank 3 are [N, H, d] */
  withoutBatch?: true
  /** what `causal: true` means, and a window without causal */
  corner(around: Around): Corner
  /** a window as the library writes it; undefined where it has none of its own */
  window?(span: Span, causal: boolean): Window | undefined
  /** how it writes one, for messages */
  windowForm?: string
  /** what `true` means in a mask */
  maskTrue: 'may attend' | 'masked out'
  /** a mask in the shape that broadcasts to the weights */
  mask?(mask: TensorSource, axes: Axes): TensorSource
  emptyRows: EmptyRows
  /** weights in the answer */
  weights: 'per head' | 'mean over heads'
  /** what a request means, in the library's own arguments */
  call(meaning: Meaning): Call | Cannot
}

export function defineDialect(dialect: Dialect): Dialect {
  return dialect
}

export const topLeft = (): Corner => 'top_left'

/** [left, right], where −1 leaves a side open. */
export function openWhereNegative(span: Span): Window | undefined {
  if (typeof span === 'number') return undefined
  const [left, right] = span.map(side => (side < 0 ? null : side))
  return { left, right }
}
