/** What linear attention does between its chunks, and before its backward pass. */

import type { Reals, Tensors } from '../define-op.ts'
import { dot } from '../rows.ts'
import type * as op from './op.ts'
import {
  LINEAR_CHUNK,
  type LinearAttentionArgs,
  type LinearStateArgs,
  linearChunks,
  stateLength,
  stateSums,
} from './op.ts'

/** Sums beyond this go into the scale: the largest numbers of the type leave room for a row's products. */
function largestSum(sums: Reals): number {
  return sums instanceof Float32Array ? 1e37 : 1e300
}

/**
 * Running sums of the states of one kv head, as needed at a chunk's beginning:
 *
 *   keys, causal      sums[c] = Σ_{c' < c} states[c']                     c = 0 … chunks
 *   queries, causal   sums[c] = Σ_{c' ≥ c} Σ_{heads of the group} states[head, c']
 *   not causal        sums[0] = the total
 *
 * states [batch, heads of the side, chunks, L]; sums [batch, kvHeads, stateSums, L]. Hazard: a long float32 sum loses
 * digits; it is held in float64 and rounded where it is written (`final` is not rounded: the next request goes on from it). Sums have the largest scale of what was added. A unit is one (batch, kv head); writes its sums.
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
  const whole = Math.floor(positions / LINEAR_CHUNK)
  const members = keys ? 1 : a.heads / a.kvHeads
  const length = stateLength(a)
  const slots = stateSums(a, positions)
  for (let unit = from; unit < to; unit++) {
    const own = unit * length
    const running = t.initial === undefined ? emptyState(a) : taken(t.initial.subarray(own, own + length), a)
    const write = (slot: number) => {
      if (t.sums !== undefined) writeState(running, a, t.sums, (unit * slots + slot) * length)
    }
    for (let step = 0; step < chunks; step++) {
      const chunk = keys ? step : chunks - 1 - step
      if (a.causal) write(keys ? chunk : chunk + 1)
      if (step === whole) t.final?.set(handedOn(running), own)
      for (let member = 0; member < members; member++) {
        const at = ((unit * members + member) * chunks + chunk) * length
        addState(running, a, t.states.subarray(at, at + length))
      }
    }
    if (whole === chunks) t.final?.set(handedOn(running), own)
    write(a.causal && keys ? chunks : 0)
  }
}

type Dims = Pick<LinearStateArgs, 'dimK' | 'dimV'>

function emptyState(a: Dims): Float64Array {
  const state = new Float64Array(stateLength(a))
  return state.fill(Number.NEGATIVE_INFINITY, a.dimK * (a.dimV + 1))
}

/** In the place of −∞ where a state leaves: JSON has no infinities. */
const NOTHING = -Number.MAX_VALUE

function handedOn(running: Float64Array): Float64Array {
  return running.map(x => (x === Number.NEGATIVE_INFINITY ? NOTHING : x))
}

function taken(initial: Float64Array, a: Dims): Float64Array {
  const scales = a.dimK * (a.dimV + 1)
  return initial.map((x, e) => (e >= scales && x <= NOTHING ? Number.NEGATIVE_INFINITY : x))
}

/** Whether the sum has a scale other than the state's, so that one of them must be brought to the other's. */
function hasOther(running: Float64Array, state: Reals, at: number, dimK: number): boolean {
  for (let d = at; d < at + dimK; d++) {
    if (state[d] !== running[d] && running[d] !== Number.NEGATIVE_INFINITY) return true
  }
  return false
}

function addState(running: Float64Array, { dimK, dimV }: Dims, state: Reals): void {
  const scales = dimK * (dimV + 1)
  if (!hasOther(running, state, scales, dimK)) {
    for (let e = 0; e < scales; e++) running[e] += state[e]
    running.set(state.subarray(scales), scales)
    return
  }
  for (let d = 0; d < dimK; d++) {
    const [own, other] = [running[scales + d], state[scales + d]]
    if (other === Number.NEGATIVE_INFINITY) continue
    const scale = Math.max(own, other)
    const [keep, add] = [Math.exp(own - scale), Math.exp(other - scale)]
    running[scales + d] = scale
    for (let e = d * dimV; e < (d + 1) * dimV; e++) running[e] = keep * running[e] + add * state[e]
    const z = dimK * dimV + d
    running[z] = keep * running[z] + add * state[z]
  }
}

function writeState(running: Float64Array, { dimK, dimV }: Dims, sums: Reals, at: number): void {
  sums.set(running, at)
  const limit = largestSum(sums)
  let over = false
  for (let e = 0; e < dimK * dimV; e++) over ||= running[e] > limit || running[e] < -limit
  for (let d = 0; over && d < dimK; d++) {
    let largest = 0
    for (let e = d * dimV; e < (d + 1) * dimV; e++) largest = Math.max(largest, Math.abs(running[e]))
    if (!(largest > limit)) continue
    for (let e = d * dimV; e < (d + 1) * dimV; e++) sums[at + e] = running[e] / largest
    const z = dimK * dimV + d
    sums[at + z] = running[z] / largest
    sums[at + z + dimK] = running[z + dimK] + Math.log(largest)
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
