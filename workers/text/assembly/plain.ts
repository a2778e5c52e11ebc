/**
 * Numbers as programs print them in bulk, `-?d.ddd…,`: found without looking for anything else, a few nanoseconds each.
 * What comes in another form is left to `number.ts`.
 *
 * Where the next number begins is told by the next comma alone, so that the processor need not wait for one number to be
 * understood before it begins with another; that the digits reach just up to the comma is checked beside.
 */
import { digitsOf, isDigit, sixteenFrom } from './digits'
import { COMMAS } from './tables'

const MINUS: u32 = 0x2d
const DOT: u32 = 0x2e

/** The first comma of the 32 bytes from p; p + 40 when there is none, further than the digits looked at can reach. */
// @ts-expect-error: decorator
@inline
export function nextComma(p: usize): usize {
  const commas = v128.load(COMMAS)
  const low = i8x16.bitmask(i8x16.eq(v128.load(p), commas))
  const high = i8x16.bitmask(i8x16.eq(v128.load(p, 16), commas))
  return p + <usize>ctz(<u64>low | (<u64>high << 16) | 0x10000000000)
}

/** The first digit behind the sign of the number at p. */
// @ts-expect-error: decorator
@inline
export function unsigned(p: usize): usize {
  return p + <usize>(load<u8>(p) == MINUS)
}

/** How many digits follow `d.` at `start`, if all up to `comma` are (and there is one); else 0. At most 29, for the comma is among 32 bytes. */
// @ts-expect-error: decorator
@inline
export function plainDigits(start: usize, comma: usize): u32 {
  let part = <u32>ctz(~digitsOf(v128.load(start, 2)))
  if (part >= 16) part = 16 + <u32>ctz(~digitsOf(v128.load(start, 18)))
  const digit = <u32>isDigit(load<u8>(start))
  const dot = <u32>(load<u8>(start, 1) == DOT)
  return digit & dot & <u32>(start + 2 + part == comma) ? part : 0
}

/**
 * The float32 nearest to the float64 nearest to `d.ddd…` at `start` with `part` digits; NaN where it is not certain.
 *
 * With at most 16 of the digits, d·10^16 + digits is off by less than one, and with the three roundings of x by less than
 * four units of x's last place more. From 0.0001 on one in 10^16 is less than 2^14 such units, so that a float64 further
 * than this from the middle between two float32 is rounded to the same as the exact one.
 */
// @ts-expect-error: decorator
@inline
export function readPlain(start: usize, part: u32): f32 {
  const m = <i64>(load<u8>(start) ^ 0x30) * 10000000000000000 + <i64>sixteenFrom(v128.load(start, 2), part)
  const x = <f64>m * 1e-16
  const near = (reinterpret<u64>(x) + (16384 + 8 - 0x10000000)) & 0x1fffffff
  const small = <u32>(m < 1000000000000) & (<u32>(m != 0) | <u32>(part > 16))
  return (<u32>(near <= 2 * (16384 + 8)) | small) ? NaN : <f32>x
}
