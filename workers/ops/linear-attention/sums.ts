/** What linear attention does between its chunks, and before its backward pass. */

import type { Tensors } from '../define-op.ts'
import { dot } from '../rows.ts'
import type * as op from './op.ts'
import { type LinearAttentionArgs, type LinearStateArgs, linearChunks, stateLength, stateSums } from './op.ts'

/**
 * Running sums of the states of one kv head, as needed at a chunk's beginning:
 *
 *   keys, causal      sums[c] = Σ_{c' < c} states[c']                     c = 0 … chunks
 *   queries, causal   sums[c] = Σ_{c' ≥ c} Σ_{heads of the group} states[head, c']
 *   not causal        sums[0] = the total
 *
 * states [batch, heads of the side, chunks, L]; sums [batch, kvHeads, stateSums, L]. Hazard: a long float32 sum loses
 * digits; it is held in float64 and rounded where it is written. A unit is one (batch, kv head); writes its sums.
 */
export function linearStateSums(
  t: Tensors<typeof op.linearStateSums>,
  a: LinearStateArgs,
  from: number,
  to: number,
): void {
  const keys = a.side === 'keys'
  const positions = keys ? a.keys : a.queries
  const chunks = linearChunks(positions)
  const members = keys ? 1 : a.heads / a.kvHeads
  const length = stateLength(a)
  const slots = stateSums(a, positions)
  for (let unit = from; unit < to; unit++) {
    const running = new Float64Array(length)
    const write = (slot: number) => t.sums.set(running, (unit * slots + slot) * length)
    for (let step = 0; step < chunks; step++) {
      const chunk = keys ? step : chunks - 1 - step
      if (a.causal) write(keys ? chunk : chunk + 1)
      for (let member = 0; member < members; member++) {
        const at = ((unit * members + member) * chunks + chunk) * length
        for (let e = 0; e < length; e++) running[e] += t.states[at + e]
      }
    }
    write(a.causal && keys ? chunks : 0)
  }
}

/**
 * From the gradient of output = numerator/normaliser to those of the two:
 *
 *   ∂L/∂numerator = scaled = gradOutput/normaliser        ∂L/∂normaliser = −(gradOutput·output)/normaliser
 *
 * A row that attends to nothing (normaliser 0) is not read, whatever stands in its gradOutput: zeros.
 * A unit is a row of [batch, heads, queries]; writes scaled [.., dimV] and gradNormaliser.
 */
export function linearAttentionDelta(
  t: Tensors<typeof op.linearAttentionDelta>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * a.dimV
    const normaliser = t.normaliser[row]
    if (normaliser === 0) {
      t.scaled.fill(0, at, at + a.dimV)
      t.gradNormaliser[row] = 0
      continue
    }
    for (let d = at; d < at + a.dimV; d++) t.scaled[d] = t.gradOutput[d] / normaliser
    t.gradNormaliser[row] = -dot(t.gradOutput, row, t.output, row, a.dimV) / normaliser
  }
}
