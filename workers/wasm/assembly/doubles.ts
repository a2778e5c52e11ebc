/** float64 sums over float32 elements: four lanes as two pairs. */

/** Lanes 0 and 1 as float64. */
// @ts-ignore: decorator
@inline
export function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x)
}

/** Lanes 2 and 3 as float64. */
// @ts-ignore: decorator
@inline
export function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1))
}

/** Four lanes of float32 from two pairs of float64. */
// @ts-ignore: decorator
@inline
export function narrow(lowPair: v128, highPair: v128): v128 {
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(lowPair), f32x4.demote_f64x2_zero(highPair), 0, 2)
}

// @ts-ignore: decorator
@inline
export function total(lowPair: v128, highPair: v128): f64 {
  const sum = f64x2.add(lowPair, highPair)
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1)
}
