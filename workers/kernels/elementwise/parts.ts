/** Rows into the order of a pass and back, and the merging of what the passes found. */
import type { GatherArgs } from '../../pass-args.ts'
import type { Reals } from '../kernel-set.ts'

/** y[p, h, t, :] = x[h, order[p, h, t], :] for x [heads, rows, dim]. A unit is a row of y; writes it. */
export function gatherRows(
  t: { x: Reals; order: Int32Array; y: Reals },
  a: GatherArgs,
  from: number,
  to: number,
): void {
  const { x, y } = t
  for (let row = from; row < to; row++) {
    const head = Math.floor(row / a.rows) % a.heads
    const at = (head * a.rows + t.order[row]) * a.dim
    const into = row * a.dim
    for (let d = 0; d < a.dim; d++) y[into + d] = x[at + d]
  }
}

/**
 * y[h, i, :] = Σ_p parts[p, h, ranks[p, h, i], :]: the gradients of all passes' rows, back in their own order. It
 * differentiates gatherRows, an order being a permutation. A unit is a row of y; writes it.
 */
export function sumParts(
  t: { parts: Reals; ranks: Int32Array; y: Reals },
  a: GatherArgs,
  from: number,
  to: number,
): void {
  const { parts, y } = t
  const rows = a.heads * a.rows
  for (let row = from; row < to; row++) {
    const into = row * a.dim
    y.fill(0, into, into + a.dim)
    for (let p = 0; p < a.parts; p++) {
      const at = partRow(t.ranks, a, p * rows + row) * a.dim
      for (let d = 0; d < a.dim; d++) y[into + d] += parts[at + d]
    }
  }
}

/** Where row `row` of [parts, heads, rows] stands in its part's order. */
function partRow(ranks: Int32Array, { rows }: GatherArgs, row: number): number {
  return row - (row % rows) + ranks[row]
}

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
export function mergeParts(
  t: {
    outputs: Reals
    logsumexps: Float64Array
    entropies?: Reals
    ranks: Int32Array
    output: Reals
    logsumexp: Float64Array
    entropy?: Reals
  },
  a: GatherArgs,
  from: number,
  to: number,
): void {
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
