/**
 * How long a tile's scaled queries and a block's keys are, by which their scores are bounded: |q·k| ≤ ‖q‖·‖k‖. Where that is known
 * to be small, the softmax leaves out what would change nothing (online-softmax.ts): never what it computes.
 *
 * Sums of squares in float32: one that overflows is ∞, and bounds nothing.
 */
import { Call } from '../../../wasm/generated/attention'
import { NR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { onePack } from './scores'

/** max_r ‖x_r‖² of the rows at `x`, of dimK elements each. */
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

/** max_j ‖k_j‖² of the packed keys. */
export function largestKey(call: Call, keys: i32): f32 {
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

/** A little more than the largest |score| of a tile against a block: rounded sums may be longer than exact ones. */
export function boundOf(query: f32, key: f32): f32 {
  const bound = sqrt<f32>(query) * sqrt<f32>(key) * 1.01
  return bound == bound ? bound : Infinity
}

/** Whether the scores are scale·q·k alone, and K is packed whole, so that its norms are at hand. */
export function isBounded(call: Call): bool {
  return (
    call.output != 0 && !(call.softcap > 0) && !call.slopes && !call.distanceBiases && !call.maskKind && !call.earlier && !call.nonFinite &&
    onePack(call, call.dimK)
  )
}
