/** One decimal number: stepping over it by the grammar of JSON, and reading the nearest float64. */
import { digitMask, fourBefore, isDigit, sixteenBefore, ZERO } from './digits'
import { GREATEST_POWER, LEAST_POWER, powerHigh, powerLow } from './tables'
import { mulHigh } from './wide'

const MINUS: u32 = 0x2d
const PLUS: u32 = 0x2b
const DOT: u32 = 0x2e
const E: u32 = 0x65

/** Where `skipNumber` missed a digit; 0 when it did not. */
export let missing: usize = 0

/** The byte after the number at p, by JSON's grammar. */
// @ts-expect-error: decorator
@inline
export function skipNumber(p: usize): usize {
  missing = 0
  const start = p + <usize>(load<u8>(p) == MINUS)
  const digits = digitMask(start)
  const whole = <u32>ctz(~digits)
  let q = start + whole
  if (whole - 1 > 15 || (whole > 1 && load<u8>(start) == ZERO)) return skipSlowly(start)
  if (load<u8>(q) == DOT) {
    const part = <u32>ctz(~(digits >> (whole + 1)))
    if (part == 0 || whole + part > 30) return skipSlowly(start)
    q += part + 1
  }
  return (load<u8>(q) | 0x20) == E ? skipExponent(q) : q
}

/** A byte at a time, however long. */
function skipSlowly(p: usize): usize {
  if (load<u8>(p) == ZERO) p++
  else if (isDigit(load<u8>(p))) p = skipDigits(p)
  else return miss(p)
  if (load<u8>(p) == DOT) {
    if (!isDigit(load<u8>(p, 1))) return miss(p + 1)
    p = skipDigits(p + 1)
  }
  return (load<u8>(p) | 0x20) == E ? skipExponent(p) : p
}

function skipExponent(p: usize): usize {
  const sign = <u32>load<u8>(p, 1)
  p += 1 + <usize>(sign == MINUS || sign == PLUS)
  return isDigit(load<u8>(p)) ? skipDigits(p) : miss(p)
}

// @ts-expect-error: decorator
@inline
function skipDigits(p: usize): usize {
  while (isDigit(load<u8>(p))) p++
  return p
}

function miss(p: usize): usize {
  missing = p
  return p
}

/** The byte after the number that `readNumber` read last. */
export let after: usize = 0

/**
 * The number at p, of JSON's grammar, as the nearest float64; NaN where 128 bits do not tell which that is, where it is
 * subnormal or overflows: someone else must read those.
 */
// @ts-expect-error: decorator
@inline
export function readNumber(p: usize): f64 {
  const negative = <u64>(load<u8>(p) == MINUS)
  const start = p + <usize>negative
  const digits = digitMask(start)
  const whole = <u32>ctz(~digits)
  const pointed = <u32>(load<u8>(start + whole) == DOT)
  const part = pointed ? <u32>ctz(~(digits >> (whole + 1))) : 0
  const q = start + whole + pointed + part
  // 19 digits fit into 64 bits, and into the bytes looked at; a zero before the point is none
  const zero = <u32>(load<u8>(start) == ZERO)
  if (whole + part - zero > 19 || whole > 16 || (load<u8>(q) | 0x20) == E) return readSlowly(start, negative)
  after = q
  const head = whole == 1 ? <u64>(load<u8>(start) ^ <u8>ZERO) : sixteenBefore(start + whole, <i32>whole)
  // of more than 16 digits behind the point, up to three come first
  const lead = fourBefore(q - 16, <i32>part - 16)
  const m = head * tenTo(part) + lead * 10000000000000000 + sixteenBefore(q, <i32>part)
  return nearest(m, -<i32>part, negative)
}

/** 10^n, n ≤ 19. */
// @ts-expect-error: decorator
@inline
function tenTo(n: u32): u64 {
  // the table's significand, moved down from the top
  return powerHigh(<i32>n) >> (63 - ((n * 217706) >> 16))
}

/** Any number: up to 19 significant digits, whatever is cut off behind them, and the exponent. */
function readSlowly(p: usize, negative: u64): f64 {
  let m: u64 = 0
  let count: i32 = 0
  let exponent: i64 = 0
  let cut = false
  let behind: i64 = 0
  for (;;) {
    const byte = <u32>load<u8>(p)
    const digit = byte ^ ZERO
    if (digit <= 9) {
      if (count < 19) {
        m = m * 10 + digit
        count += i32(m != 0)
        exponent -= behind
      } else {
        cut = cut || digit != 0
        exponent += 1 - behind
      }
    } else if (byte == DOT) {
      behind = 1
    } else {
      break
    }
    p++
  }
  if ((load<u8>(p) | 0x20) == E) {
    const sign = <u32>load<u8>(p, 1)
    p += 1 + <usize>(sign == MINUS || sign == PLUS)
    let power: i64 = 0
    for (; isDigit(load<u8>(p)); p++) if (power < 1000000000000) power = power * 10 + (load<u8>(p) ^ <u8>ZERO)
    exponent += sign == MINUS ? -power : power
  }
  after = p
  if (m == 0) return reinterpret<f64>(negative << 63)
  if (exponent < LEAST_POWER || exponent > GREATEST_POWER) return NaN
  const value = nearest(m, <i32>exponent, negative)
  // what was cut off lies between m and m + 1
  return cut && value != nearest(m + 1, <i32>exponent, negative) ? NaN : value
}

/**
 * m·10^power as the nearest float64 (Eisel–Lemire, decided by an interval instead of by a proof).
 *
 * 10^power = (T + θ)·2^e with T its upper 128 bits and 0 ≤ θ < 1. The product of m, moved up to the top of its 64 bits,
 * with T's upper half alone is at most one unit of its own upper half too small; that decides unless the bits behind the
 * 53 kept are within one of the middle. With both halves of T the product is less than two units of its 128th bit too
 * small; that decides unless the middle lies within those. Then, and where the result is no normal number: NaN.
 */
function nearest(m: u64, power: i32, negative: u64): f64 {
  if (power == 0 || m == 0) {
    return reinterpret<f64>(reinterpret<u64>(<f64>m) | (negative << 63))
  }
  const shift = clz(m)
  const w = m << shift
  const t = powerHigh(power)
  let high = mulHigh(w, t)
  let drop = 10 + (high >> 63)
  let rest = high & ((<u64>1 << drop) - 1)
  let middle = <u64>1 << (drop - 1)
  if (rest - middle + 1 <= 1) {
    const low = w * t
    const more = low + mulHigh(w, powerLow(power))
    high += u64(more < low)
    drop = 10 + (high >> 63)
    rest = high & ((<u64>1 << drop) - 1)
    middle = <u64>1 << (drop - 1)
    if ((rest == middle && more == 0) || (rest + 1 == middle && more >= <u64>-2)) return NaN
  }
  // high stands for high·2^(⌊log₂ 10^power⌋ + 1 − shift)
  const exponent = <i64>((power * 217706) >> 16) + 1 - <i64>shift + <i64>drop + 1075
  if (exponent < 1 || exponent > 2045) return NaN
  const bits = (<u64>(exponent - 1) << 52) + (high >> drop) + u64(rest >= middle)
  return reinterpret<f64>(bits | (negative << 63))
}
