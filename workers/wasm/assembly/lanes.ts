/**
 * What differs between the variants, and nothing else does: the width of a tile, and how a·b + c is rounded.
 *
 * `WIDE` is an integer constant given on the compiler's command line (`--use WIDE=1`); the fused multiply-add is used
 * where relaxed SIMD is enabled.
 */

/** Rows of a product's register tile. */
export const MR: i32 = 6

/** Columns of a product's register tile: 4 registers of 4 lanes, which V8 fuses into 2 of 8, or 2 of 4. */
// @ts-ignore: constant from the command line
export const NR: i32 = WIDE ? 16 : 8

/** a·b + c, rounded once with relaxed SIMD (FMA), twice without. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c)
}

/** The sum of the eight lanes of two registers, always in the same order. */
// @ts-ignore: decorator
@inline
export function sumLanes(a: v128, b: v128): f32 {
  const s = f32x4.add(a, b)
  return (
    f32x4.extract_lane(s, 0) +
    f32x4.extract_lane(s, 2) +
    (f32x4.extract_lane(s, 1) + f32x4.extract_lane(s, 3))
  )
}
