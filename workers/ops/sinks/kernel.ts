/** Sinks: what they make of attention's results, and their own gradient. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import { firstPlace, placeRow } from '../packed-rows.ts'
import type * as op from './op.ts'

/**
 * With a row's denominator (m, Σ) and its head's sink s:
 *
 *   m' = max(m, s)     Σ' = Σ·exp(m − m') + exp(s − m')     share = Σ·exp(m − m')/Σ'     p = exp(s − m')/Σ' = 1 − share
 *   output' = share·output     w' = share·w     logsumexp' = m' + ln Σ'     H' = share·H − share·ln share − p·ln p
 *
 * (the entropy of two groups of keys is that of the choice between them, and theirs by their shares). A row that attends to nothing
 * has share 0: its output is 0, its denominator (s, 1), its entropy 0.
 * Hazard: 0·ln 0 and −∞ − (−∞): a share of 0 adds nothing. A weight of 0 stays 0, whatever the share is.
 */
export function applySinks(
  t: Tensors<typeof op.applySinks>,
  a: Args<typeof op.applySinks>,
  from: number,
  to: number,
): void {
  const place = firstPlace(a)
  for (let row = from; row < to; row++) {
    placeRow(t, a, row, place)
    const sink = t.sinks[place.head]
    const m = t.denominator[2 * row]
    const most = Math.max(m, sink)
    const keys =
      m === most || m === Number.NEGATIVE_INFINITY
        ? t.denominator[2 * row + 1]
        : t.denominator[2 * row + 1] * Math.exp(m - most)
    const own = sink === Number.NEGATIVE_INFINITY ? 0 : Math.exp(sink - most)
    const sum = keys + own
    const share = keys === 0 ? 0 : keys / sum
    t.sunkDenominator[2 * row] = most
    t.sunkDenominator[2 * row + 1] = sum
    t.sunkLogsumexp[row] = sum === 0 ? Number.NEGATIVE_INFINITY : most + Math.log(sum)
    if (t.sunkEntropy && t.entropy) {
      const entropy = share === 0 ? 0 : share * (t.entropy[row] - Math.log(share))
      t.sunkEntropy[row] = own === 0 ? entropy : entropy - (own / sum) * (sink - most - Math.log(sum))
    }
    scaled(t.output, t.sunkOutput, (a.positionsFirst ? place.turned : row) * a.dimV, a.dimV, share)
    const { keys: count, pairs } = place
    if (t.weights && t.sunkWeights) scaled(t.weights, t.sunkWeights, pairs, count, share)
    if (t.droppedWeights && t.sunkDroppedWeights) {
      scaled(t.droppedWeights, t.sunkDroppedWeights, pairs, count, share)
    }
  }
}

/** y = share·x for `dim` elements; 0 stays 0. */
function scaled(x: Reals, y: Reals, begin: number, dim: number, share: number): void {
  if (share === 0) {
    y.fill(0, begin, begin + dim)
    return
  }
  for (let at = begin; at < begin + dim; at++) y[at] = x[at] === 0 ? 0 : share * x[at]
}

/**
 * ∂L/∂s = Σ −p·(delta + c·(ln p + H)) over the rows of a head, p the sink's weight, delta = Σ_d output·∂L/∂output + the row's term: the gradient of
 * a masked score (attention/reference/score-gradient.ts) whose value is 0.
 * Hazard: a row that attends to nothing may have NaN in ∂L/∂output; its output is 0, and 0·NaN is left out.
 */
export function sinkGradient(
  t: Tensors<typeof op.sinkGradient>,
  a: Args<typeof op.sinkGradient>,
  from: number,
  to: number,
): void {
  const coefficient = t.scalars?.[1] ?? 0
  for (let h = from; h < to; h++) {
    const sink = t.sinks[h]
    let gradient = 0
    for (let b = 0; b < a.batch; b++) {
      const queries = t.cuQ ? t.cuQ[b + 1] - t.cuQ[b] : a.queries
      const before = a.heads * (t.cuQ?.[b] ?? b * queries)
      for (let i = 0; i < queries; i++) {
        const row = before + h * queries + i
        const m = t.denominator[2 * row]
        const sum = t.denominator[2 * row + 1]
        const p = sum === 0 ? 0 : Math.exp(sink - m) / sum
        if (p === 0) continue
        let inner = t.rowTerms?.[row] ?? 0
        const begin = (a.positionsFirst ? before + i * a.heads + h : row) * a.dimV
        for (let at = begin; at < begin + a.dimV; at++) {
          if (t.output[at] !== 0) inner += t.output[at] * t.gradOutput[at]
        }
        if (coefficient !== 0 && t.entropy) inner += coefficient * (sink - m - Math.log(sum) + t.entropy[row])
        gradient -= p * inner
      }
    }
    t.gradSinks[h] = gradient
  }
}
