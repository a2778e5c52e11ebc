/**
 * How long a tile's queries and a block's keys are, by which their scores are bounded: |q·k| ≤ ‖q‖·‖k‖.
 *
 * Sums of squares in float32: one that overflows is ∞, and bounds nothing. What they are used for has room for rounding.
 */
import { Call } from '../../../wasm/generated/attention'
import { NR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { PANEL } from '../../../wasm/assembly/score-tile'

/** The largest sum of squares of a block's values. */
const LARGEST_VALUES: f32 = 1.2676506e30

/** max_r ‖x_r‖² of the rows of q at `x`. */
export function largestRow(call: Call, x: usize, rows: i32): f32 {
  const lanes = call.laneMax
  let most: f32 = 0
  for (let r = 0; r < rows; ++r) {
    let s0 = f32x4.splat(0)
    let s1 = f32x4.splat(0)
    let p = call.dimK
    for (; p >= 8; p -= 8) {
      const x0 = v128.load(x)
      const x1 = v128.load(x, 16)
      s0 = madd(x0, x0, s0)
      s1 = madd(x1, x1, s1)
      x += 32
    }
    v128.store(lanes, s1, 16)
    v128.store(lanes, s0)
    let sum = sumLanes(v128.load(lanes), v128.load(lanes, 16))
    for (; p > 0; --p) {
      sum += load<f32>(x) * load<f32>(x)
      x += 4
    }
    most = max(most, sum)
  }
  return most
}

/** max_j ‖k_j‖² of the packed keys; ∞ where the values are too large. */
export function largestKey(call: Call, keys: i32): f32 {
  if (!(squares(call, call.valueRows, keys) <= LARGEST_VALUES)) return Infinity
  let most: f32 = 0
  let at = call.keyPack
  for (let column = 0; column < keys; column += NR) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0)
    for (let p = call.dimK; p > 0; --p) {
      const k0 = v128.load(at)
      const k1 = v128.load(at, 16)
      s0 = madd(k0, k0, s0)
      s1 = madd(k1, k1, s1)
      if (NR == 16) {
        const k2 = v128.load(at, 32)
        const k3 = v128.load(at, 48)
        s2 = madd(k2, k2, s2)
        s3 = madd(k3, k3, s3)
      }
      at += NR * 4
    }
    const m0 = f32x4.pmax(s0, s2)
    const m1 = f32x4.pmax(s1, s3)
    v128.store(call.spare, m1, 16)
    v128.store(call.spare, m0)
    for (let x: usize = 0; x < 32; x += 4) most = max(most, load<f32>(call.spare + x))
  }
  return most
}

/** Σ v² over a block's rows in panels. */
function squares(call: Call, panels: usize, keys: i32): f32 {
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0)
  for (let column = 0; column < call.dimV; column += NR) {
    let at = panels
    for (let j = keys; j > 0; --j) {
      const v0 = v128.load(at)
      const v1 = v128.load(at, 16)
      s0 = madd(v0, v0, s0)
      s1 = madd(v1, v1, s1)
      if (NR == 16) {
        const v2 = v128.load(at, 32)
        const v3 = v128.load(at, 48)
        s2 = madd(v2, v2, s2)
        s3 = madd(v3, v3, s3)
      }
      at += NR * 4
    }
    panels += PANEL
  }
  const t0 = f32x4.add(s0, s2)
  const t1 = f32x4.add(s1, s3)
  v128.store(call.spare, t1, 16)
  v128.store(call.spare, t0)
  return sumLanes(v128.load(call.spare), v128.load(call.spare, 16))
}
