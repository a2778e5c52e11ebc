/** Products of features by their logarithms, the largest taken off. */
import type { LinearAttentionArgs } from '../op.ts'
import { logFeature } from './features.ts'
import type { Query, QueryTensors } from './rows.ts'

/** A: the largest l(q_d) + m_d and l(q_d) + l(k_jd), and never 0. */
export function largestProduct(
  t: QueryTensors,
  a: LinearAttentionArgs,
  { row, pairs, kvHead, state }: Query,
): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let d = 0; d < a.dimK; d++) {
    const l = logFeature(t.q[row * a.dimK + d])
    largest = Math.max(largest, l + state.scales[d])
    for (const j of pairs)
      largest = Math.max(largest, l + logFeature(t.k[(kvHead * a.keys + j) * a.dimK + d]))
  }
  return largest === 0 ? 2 ** -100 : largest
}

/** exp(l(q) + m − A), 0 where nothing was summed. */
export function productOf(q: number, m: number, scale: number): number {
  return m === Number.NEGATIVE_INFINITY ? 0 : Math.exp(logFeature(q) + m - scale)
}

/** exp(l(q_d) + l(k_d) − A) of a row and a key. */
export function productsOf(
  t: Pick<QueryTensors, 'q' | 'k'>,
  a: LinearAttentionArgs,
  row: number,
  key: number,
  scale: number,
): Float64Array {
  const products = new Float64Array(a.dimK)
  for (let d = 0; d < a.dimK; d++) {
    products[d] = Math.exp(logFeature(t.q[row * a.dimK + d]) + logFeature(t.k[key * a.dimK + d]) - scale)
  }
  return products
}
