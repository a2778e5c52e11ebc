/** Row by row over a tile of weights p and one of the scores' tangents ds: sums, and the weights' tangents (jvp.ts). */
import { Call } from '../../../wasm/generated/attention'
import { forgetMasked } from './gradient-tile'
import { exp } from '../../../wasm/assembly/elementary'
import { MR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { maskRowStart } from './mask-tile'
import { Place } from './place'

/** gradTile += dmask. The mask is read only where it has elements. */
export function addMaskTangent(call: Call, place: Place): void {
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const row = call.gradTile + <usize>r * TILE_ROW
    const from = call.tangentMask + (maskRowStart(call, place, r) << 2)
    const stride = call.maskStrideKey
    let j = load<i32>(range)
    const end = min(load<i32>(range, 4), place.keys)
    for (; stride == 1 && j + 8 <= end; j += 8) {
      const at = <usize>j << 2
      const s0 = f32x4.add(v128.load(row + at), v128.load(from + at))
      const s1 = f32x4.add(v128.load(row + at, 16), v128.load(from + at, 16))
      v128.store(row + at, s1, 16)
      v128.store(row + at, s0)
    }
    for (; j < end; ++j) {
      const at = row + (<usize>j << 2)
      store<f32>(at, load<f32>(at) + load<f32>(from + ((<usize>j * stride) << 2)))
    }
  }
}

/** ds = 0 where the pair is not attended, whose p is 0: of a weight that is 0 for its smallness it is of no account. */
export function forgetTangents(call: Call, place: Place): void {
  const zero = f32x4.splat(0)
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const weights = call.tile + <usize>r * TILE_ROW
    const tangents = call.gradTile + <usize>r * TILE_ROW
    if (call.nonFinite) {
      forgetMasked(call.attended + <usize>(r * FORWARD_BLOCK), tangents, FORWARD_BLOCK)
      continue
    }
    for (let j = <usize>load<i32>(range) << 2, end = <usize>load<i32>(range, 4) << 2; j < end; j += 32) {
      const d0 = v128.andnot(v128.load(tangents + j), f32x4.eq(v128.load(weights + j), zero))
      const d1 = v128.andnot(v128.load(tangents + j, 16), f32x4.eq(v128.load(weights + j, 16), zero))
      v128.store(tangents + j, d1, 16)
      v128.store(tangents + j, d0)
    }
  }
}

/** Adds p·ds of the tile to the rows' sums, lane by lane. */
export function sumTangents(call: Call, place: Place, lane: usize): void {
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const weights = call.tile + <usize>r * TILE_ROW
    const tangents = call.gradTile + <usize>r * TILE_ROW
    const sums = call.runningSum + lane * 8 + (<usize>r << 5)
    let s0 = v128.load(sums)
    let s1 = v128.load(sums, 16)
    for (let j = <usize>load<i32>(range) << 2, end = <usize>load<i32>(range, 4) << 2; j < end; j += 32) {
      s0 = madd(v128.load(weights + j), v128.load(tangents + j), s0)
      s1 = madd(v128.load(weights + j, 16), v128.load(tangents + j, 16), s1)
    }
    v128.store(sums, s1, 16)
    v128.store(sums, s0)
  }
}

/**
 * runningMax[r] = dl of the tile's rows from row `at` of [batch, heads, queries]: the sum of their lanes and what a moving sink adds;
 * also where it is answered.
 */
export function finishSums(call: Call, place: Place, at: usize, lane: usize): void {
  const sink = call.tangentSinks ? load<f32>(call.sinks + (<usize>place.h << 2)) : -Infinity
  for (let r: usize = 0; r < <usize>place.rows; ++r) {
    const lanes = call.runningSum + lane * 8 + (r << 5)
    let sum = sumLanes(v128.load(lanes), v128.load(lanes, 16))
    if (sink != -Infinity) {
      const denominator = call.denominator + ((at + r) << 4)
      const below = <f32>(<f64>sink - load<f64>(denominator))
      const weight = <f64>f32x4.extract_lane(exp(f32x4.splat(below)), 0) / load<f64>(denominator, 8)
      sum += <f32>(weight * <f64>load<f32>(call.tangentSinks + (<usize>place.h << 2)))
    }
    store<f32>(call.runningMax + lane + (r << 2), sum)
    if (call.tangentLogsumexp) store<f32>(call.tangentLogsumexp + ((at + r) << 2), sum)
  }
}

/** gradTile: ds → dp = p·(ds − dl), 0 where p is. */
export function weighTangents(call: Call, place: Place, lane: usize): void {
  const zero = f32x4.splat(0)
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const weights = call.tile + <usize>r * TILE_ROW
    const tangents = call.gradTile + <usize>r * TILE_ROW
    const mean = v128.load_splat<f32>(call.runningMax + lane + (<usize>r << 2))
    for (let j = <usize>load<i32>(range) << 2, end = <usize>load<i32>(range, 4) << 2; j < end; j += 32) {
      const p0 = v128.load(weights + j)
      const p1 = v128.load(weights + j, 16)
      const d0 = f32x4.mul(p0, f32x4.sub(v128.load(tangents + j), mean))
      const d1 = f32x4.mul(p1, f32x4.sub(v128.load(tangents + j, 16), mean))
      v128.store(tangents + j, v128.andnot(d1, f32x4.eq(p1, zero)), 16)
      v128.store(tangents + j, v128.andnot(d0, f32x4.eq(p0, zero)))
    }
    if (call.nonFinite) forgetMasked(call.attended + <usize>(r * FORWARD_BLOCK), tangents, FORWARD_BLOCK)
  }
}
