/** The squared error against a target, and the whole loss with its entropy term. */
import type { Args, Tensors } from '../define-op.ts'
import { firstPlace, placeRow } from '../packed-rows.ts'
import type * as op from './op.ts'

/**
 *   L = factor·Σ (o − t)²        ∂L/∂o = 2·factor·(o − t)
 *
 * o output, t target [batch, heads, queries, dimV], or with positions before heads; factor 1 for the sum, 1/count for the mean. Forward and backward are
 * one kernel, since the gradient is the difference that the loss squares. Query rows from qLengths[b] on are padding:
 * they are not read (they may hold NaN), add nothing, and their gradient is 0.
 * A unit is one (batch, head): writes its partials[unit] and its rows of gradOutput.
 */
export function squaredErrorLoss(
  t: Tensors<typeof op.squaredErrorLoss>,
  a: Args<typeof op.squaredErrorLoss>,
  from: number,
  to: number,
): void {
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / a.heads)
    const first = a.positionsFirst ? b * a.queries * a.heads + (unit % a.heads) : unit * a.queries
    const step = a.positionsFirst ? a.heads : 1
    const live = t.qLengths?.[b] ?? a.queries
    let sum = 0
    for (let i = 0; i < a.queries; i++) {
      const begin = (first + i * step) * a.dimV
      const end = begin + a.dimV
      if (i >= live) t.gradOutput.fill(0, begin, end)
      else {
        for (let at = begin; at < end; at++) {
          const difference = t.output[at] - t.target[at]
          sum += difference * difference
          t.gradOutput[at] = 2 * a.factor * difference
        }
      }
    }
    t.partials[unit] = a.factor * sum
  }
}

/**
 *   scalars[0] = Σ partials + entropyWeight·(Σ entropy)/R        scalars[1] = entropyWeight/R
 *
 * R = the number of the rows that attend to something (logsumexp ≠ −∞); without any, both entropy
 * terms are 0. scalars[1] is what one row's entropy weighs in the loss: the backward kernels read it.
 * One unit; writes both scalars.
 */
export function lossTotal(
  t: Tensors<typeof op.lossTotal>,
  a: Args<typeof op.lossTotal>,
  from: number,
  to: number,
): void {
  if (from >= to) return
  let loss = 0
  for (const partial of t.partials ?? []) loss += partial

  let attending = 0
  let entropy = 0
  if (a.entropyWeight !== 0 && t.entropy && t.logsumexp) {
    for (let row = 0; row < a.rows; row++) {
      if (t.logsumexp[row] === Number.NEGATIVE_INFINITY) continue
      attending++
      entropy += t.entropy[row]
    }
  }
  t.scalars[0] = attending > 0 ? loss + (a.entropyWeight * entropy) / attending : loss
  t.scalars[1] = attending > 0 ? a.entropyWeight / attending : 0
}

/**
 *   terms[i] = Σ_j w[i,j]·G[i,j] − g[i]        G = ∂L/∂weights, before dropout; g = ∂L/∂logsumexp
 *
 * Through the softmax, ∂L/∂s_j = w_j·(G_j − Σ_k w_k·G_k + g) (attention/reference/score-gradient.ts). Sums in float64.
 * Hazard: what is not attended has weight 0, and G may be NaN there: it is left out. So is padding.
 * A unit is one row.
 */
export function rowTerms(
  t: Tensors<typeof op.rowTerms>,
  a: Args<typeof op.rowTerms>,
  from: number,
  to: number,
): void {
  const place = firstPlace(a)
  for (let row = from; row < to; row++) {
    const live = t.qLengths?.[Math.floor(row / (a.heads * a.queries))] ?? a.queries
    let sum = 0
    if (row % a.queries < live) {
      if (t.gradLogsumexp) sum -= t.gradLogsumexp[row]
      if (t.weights && t.gradWeights) {
        placeRow(t, a, row, place)
        for (let at = place.pairs; at < place.pairs + place.keys; at++) {
          if (t.weights[at] !== 0) sum += t.weights[at] * t.gradWeights[at]
        }
      }
    }
    t.terms[row] = sum
  }
}
