/** What the passes found, merged. */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { GatherArgs } from './op.ts'
import { partRow } from './part-row.ts'

/**
 * Softmax over the union of disjoint sets of keys, from the softmax over each set p (output_p, denominator_p = (m_p, Σ_p),
 * entropy_p):
 *
 *   m      = max_p m_p                  Σ = Σ_p exp(m_p − m)·Σ_p        w_p = exp(m_p − m)·Σ_p/Σ
 *   output = Σ_p w_p·output_p           entropy = Σ_p w_p·(entropy_p − ln w_p)
 *
 * the last because a weight in the union is w_p times its weight in p. Parts stand in their pass's order, [parts, heads,
 * rows, …]. Hazard: exp overflows, so the largest m is taken off first, and outputs are not summed before they are weighted;
 * a part that attends to nothing (Σ_p = 0) is skipped, and a row without any gives zeros and −∞. Arithmetic in float64.
 * Needs no backward of its own: the attention kernels' backward, run for each part with the merged output and denominator,
 * is that part's share of the whole gradient.
 * A unit is a row of output; writes output, denominator, logsumexp and, when given, entropy.
 */
export function mergeParts(t: Tensors<typeof op.mergeParts>, a: GatherArgs, from: number, to: number): void {
  const rows = a.heads * a.rows
  const sums = new Float64Array(a.dim)
  const { denominators } = t
  for (let row = from; row < to; row++) {
    const partOf = (p: number) => partRow(t.ranks, a, p * rows + row)
    let m = Number.NEGATIVE_INFINITY
    for (let p = 0; p < a.parts; p++) {
      const part = partOf(p)
      if (denominators[2 * part + 1] !== 0) m = Math.max(m, denominators[2 * part])
    }
    let total = 0
    for (let p = 0; p < a.parts; p++) {
      const part = partOf(p)
      const sum = denominators[2 * part + 1]
      if (sum !== 0) total += Math.exp(denominators[2 * part] - m) * sum
    }
    const logTotal = Math.log(total)
    sums.fill(0)
    let entropy = 0
    for (let p = 0; p < a.parts; p++) {
      const part = partOf(p)
      const sum = denominators[2 * part + 1]
      if (sum === 0) continue
      const below = denominators[2 * part] - m
      const weight = (Math.exp(below) * sum) / total
      const at = part * a.dim
      for (let d = 0; d < a.dim; d++) sums[d] += weight * t.outputs[at + d]
      // where the weight is 0 its logarithm may be −∞
      if (t.entropies && weight !== 0) {
        entropy += weight * (t.entropies[part] - (below + Math.log(sum) - logTotal))
      }
    }
    t.output.set(sums, row * a.dim)
    t.denominator[2 * row] = m
    t.denominator[2 * row + 1] = total
    t.logsumexp[row] = m + logTotal
    if (t.entropy) t.entropy[row] = entropy
  }
}
