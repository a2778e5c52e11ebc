/** Decimal digits, sixteen at a time: finding them in text, and turning them into a number and back. */
import { HUNDREDS, LANES, LOW_BYTES, NINES, TEN_THOUSANDS, TENS, ZEROS } from './tables'

// @ts-expect-error: decorator
@inline export const ZERO: u32 = 0x30

/** '0' … '9' are the bytes that differ from '0' in their last four bits alone, and there by at most 9. */
// @ts-expect-error: decorator
@inline
export function isDigit(byte: u32): bool {
  return (byte ^ ZERO) <= 9
}

/** A digit or a minus, told without a branch: signs are random. */
// @ts-expect-error: decorator
@inline
export function startsNumber(byte: u32): bool {
  return <bool>(<u32>((byte ^ ZERO) <= 9) | <u32>(byte == 0x2d))
}

/** Bit i is set where byte i of the 16 from p is a digit. */
// @ts-expect-error: decorator
@inline
export function digitsOf(v: v128): u32 {
  const digits = v128.xor(v, v128.load(ZEROS))
  return i8x16.bitmask(i8x16.eq(i8x16.min_u(digits, v128.load(NINES)), digits))
}

/** The same for the 32 bytes from p; the upper 32 bits are 0. */
// @ts-expect-error: decorator
@inline
export function digitMask(p: usize): u64 {
  return <u64>digitsOf(v128.load(p)) | (<u64>digitsOf(v128.load(p, 16)) << 16)
}

/**
 * The number that sixteen lanes spell, each 0 … 9, most significant first. Neighbours are joined four times: digits to
 * pairs, pairs to fours, fours to eights, eights to the whole.
 */
// @ts-expect-error: decorator
@inline
function joined(digits: v128): u64 {
  const pairs = i16x8.add(
    i16x8.mul(v128.and(digits, v128.load(LOW_BYTES)), v128.load(TENS)),
    i16x8.shr_u(digits, 8),
  )
  const fours = i32x4.dot_i16x8_s(pairs, v128.load(HUNDREDS))
  const eights = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_u(fours, fours), v128.load(TEN_THOUSANDS))
  const both = <u64>i64x2.extract_lane(eights, 0)
  return (both & 0xffffffff) * 100000000 + (both >> 32)
}

/** The first `count` of sixteen bytes of text and zeros behind them, as a number. */
// @ts-expect-error: decorator
@inline
export function sixteenFrom(text: v128, count: u32): u64 {
  const digits = v128.xor(text, v128.load(ZEROS))
  return joined(v128.and(digits, i8x16.gt_s(i8x16.splat(<i8>count), v128.load(LANES))))
}

/** The number that the last `count` of the 16 bytes before `end` spell (count ≥ 16: all of them, ≤ 0: none). */
// @ts-expect-error: decorator
@inline
export function sixteenBefore(end: usize, count: i32): u64 {
  const digits = v128.xor(v128.load(end - 16), v128.load(ZEROS))
  return joined(v128.and(digits, i8x16.gt_s(v128.load(LANES), i8x16.splat(<i8>(15 - count)))))
}

/** The number that the last `count` ≤ 4 of the 4 bytes before `end` spell, 0 for count ≤ 0. */
// @ts-expect-error: decorator
@inline
export function fourBefore(end: usize, count: i32): u64 {
  const wanted: u32 = count > 0 ? (<u32>-1) << ((4 - count) << 3) : 0
  let d = (load<u32>(end - 4) ^ 0x30303030) & wanted
  d = (d & 0x00ff00ff) * 10 + ((d >> 8) & 0x00ff00ff)
  return <u64>((d & 0xffff) * 100 + (d >> 16))
}

/** The sixteen digits of n = high·10^8 + low, most significant first, each 0 … 9; both halves are below 10^8. */
// @ts-expect-error: decorator
@inline
export function sixteenDigits(high: u32, low: u32): v128 {
  const a = high / 10000
  const b = low / 10000
  const fours = i64x2.replace_lane(
    i64x2.splat(<i64>a | (<i64>(high - 10000 * a) << 32)),
    1,
    <i64>b | (<i64>(low - 10000 * b) << 32),
  )
  // x/100 = ⌊x·5243/2^19⌋ for x < 10^4, x/10 = ⌊x·103/2^10⌋ for x < 100
  const hundreds = i32x4.shr_u(i32x4.mul(fours, i32x4.splat(5243)), 19)
  const pairs = i32x4.add(
    i32x4.shl(fours, 16),
    i32x4.mul(hundreds, i32x4.splat(1 - (100 << 16))),
  )
  const tens = i16x8.shr_u(i16x8.mul(pairs, i16x8.splat(103)), 10)
  return i16x8.add(i16x8.shl(pairs, 8), i16x8.mul(tens, i16x8.splat(1 - (10 << 8))))
}
