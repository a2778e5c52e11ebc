/** Sums over the columns of a block: four parts of each, from one row after the other. */
import { madd } from '../../../wasm/assembly/lanes'

/** Four parts of Σ_c x_c·y_c. */
// @ts-ignore: decorator
@inline
export function parts(x0: v128, x1: v128, x2: v128, x3: v128, y0: v128, y1: v128, y2: v128, y3: v128): v128 {
  return f32x4.add(madd(x1, y1, f32x4.mul(x0, y0)), madd(x3, y3, f32x4.mul(x2, y2)))
}

/** The sum of the four parts. */
// @ts-ignore: decorator
@inline
export function sumOf(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) +
    f32x4.extract_lane(x, 2) +
    (f32x4.extract_lane(x, 1) + f32x4.extract_lane(x, 3))
  )
}

/** into[d] += the sum of the parts of d, for `count` of them. */
export function addSums(sums: usize, count: i32, into: usize): void {
  let left = count
  for (; left >= 4; left -= 4) {
    const p0 = v128.load(sums)
    const p1 = v128.load(sums, 16)
    const p2 = v128.load(sums, 32)
    const p3 = v128.load(sums, 48)
    const low = f32x4.add(v128.shuffle<f32>(p0, p1, 0, 4, 1, 5), v128.shuffle<f32>(p0, p1, 2, 6, 3, 7))
    const high = f32x4.add(v128.shuffle<f32>(p2, p3, 0, 4, 1, 5), v128.shuffle<f32>(p2, p3, 2, 6, 3, 7))
    const total = f32x4.add(v128.shuffle<i64>(low, high, 0, 2), v128.shuffle<i64>(low, high, 1, 3))
    v128.store(into, f32x4.add(v128.load(into), total))
    sums += 64
    into += 16
  }
  for (; left > 0; --left) {
    store<f32>(into, load<f32>(into) + sumOf(v128.load(sums)))
    sums += 16
    into += 4
  }
}
