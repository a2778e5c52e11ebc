/** What the passes found, merged. */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { GatherArgs } from './op.ts'
import { partRow } from './part-row.ts'

/**
 * Softmax over the union of disjoint sets of keys, from the softmax over each set p (output_p, logsumexp_p, entropy_p):
 *
 *   logsumexp = ln Σ_p exp(logsumexp_p)         w_p = exp(logsumexp_p − logsumexp)
 *   output    = Σ_p w_p·output_p                entropy = Σ_p w_p·(entropy_p − ln w_p)
 *
 * the last because a weight in the union is w_p times its weight in p. Parts stand in their pass's order, [parts, heads,
 * rows, …]. Hazard: exp overflows, so the largest logsumexp is taken off first; a part that attends to nothing
 * (−∞) is skipped, and a row without any gives zeros and −∞. Arithmetic in float64.
 * Needs no backward of its own: the attention kernels' backward, run for each part with the merged output and logsumexp,
 * is that part's share of the whole gradient.
 * A unit is a row of output; writes output, logsumexp and, when given, entropy.
 */
export function mergeParts(t: Tensors<typeof op.mergeParts>, a: GatherArgs, from: number, to: number): void {
  const rows = a.heads * a.rows
  const sums = new Float64Array(a.dim)
  for (let row = from; row < to; row++) {
    let largest = Number.NEGATIVE_INFINITY
    for (let p = 0; p < a.parts; p++) {
      largest = Math.max(largest, t.logsumexps[partRow(t.ranks, a, p * rows + row)])
    }
    let total = 0
    sums.fill(0)
    let entropy = 0
    for (let p = 0; p < a.parts; p++) {
      const part = partRow(t.ranks, a, p * rows + row)
      const logsumexp = t.logsumexps[part]
      if (logsumexp === Number.NEGATIVE_INFINITY) continue
      const weight = Math.exp(logsumexp - largest)
      total += weight
      const at = part * a.dim
      for (let d = 0; d < a.dim; d++) sums[d] += weight * t.outputs[at + d]
      if (t.entropies) entropy += weight * (t.entropies[part] - (logsumexp - largest))
    }
    const empty = largest === Number.NEGATIVE_INFINITY
    for (let d = 0; d < a.dim; d++) t.output[row * a.dim + d] = empty ? 0 : sums[d] / total
    t.logsumexp[row] = empty ? largest : largest + Math.log(total)
    if (t.entropy) t.entropy[row] = empty ? 0 : entropy / total + Math.log(total)
  }
}
