/**
 * Numbers as JSON text: the shortest decimal that reads back to the same float32, and of those the nearest to it
 * (Schubfach: Giulietti 2020; the 32-bit tables and rounding as in Jeon's and Bouvier's analyses).
 */
import { sixteenDigits } from './digits'
import { LANES, powerHigh } from './tables'

const MINUS: u8 = 0x2d
const COMMA: u8 = 0x2c
const OPEN: u8 = 0x5b
const CLOSE: u8 = 0x5d

/** ⌈10^k·2^(63 − ⌊log₂ 10^k⌋)⌉ */
// @ts-expect-error: decorator
@inline
function ceilingPower(k: i32): u64 {
  // the table's 128 bits are cut off; they are exact, and end in zeros, for 0 ≤ k ≤ 27
  return powerHigh(k) + u64(k < 0 || k > 27)
}

/** ⌊g·c/2^64⌋ of 96 bits, its last bit set when more than one unit was cut off: rounded to odd. */
// @ts-expect-error: decorator
@inline
function roundToOdd(g: u64, c: u32): u32 {
  const low = (g & 0xffffffff) * <u64>c
  const high = (g >> 32) * <u64>c + (low >> 32)
  return <u32>(high >> 32) | u32(<u32>high > 1)
}

/** The decimal of the float32 with these bits (finite, not 0): its significand, and the power of ten above bit 32. */
// @ts-expect-error: decorator
@inline
function shortest(bits: u32): u64 {
  const fraction = bits & 0x7fffff
  const biased = (bits >> 23) & 0xff
  // x = c·2^q
  const c: u32 = biased != 0 ? fraction | 0x800000 : fraction
  const q: i32 = biased != 0 ? <i32>biased - 150 : -149
  if (q <= 0 && q > -24 && (c & ((1 << -q) - 1)) == 0) return c >> -q
  const odd: u32 = c & 1
  // below a power of two the next float32 is only half as far away
  const closer = u32(fraction == 0) & u32(biased > 1)
  // 10^k ≤ the distance between the middles around x: k = ⌊log₁₀ 2^q⌋, or of ¾·2^q
  const k = (q * 1262611 - <i32>closer * 524031) >> 22
  const h = q + ((-k * 1741647) >> 19) + 1
  const g = ceilingPower(-k)
  const below: u32 = roundToOdd(g, (4 * c - 2 + closer) << h)
  const here: u32 = roundToOdd(g, (4 * c) << h)
  const above: u32 = roundToOdd(g, (4 * c + 2) << h)
  // the interval's ends belong to it when c is even
  const lower: u32 = below + odd
  const upper: u32 = above - odd
  // which of the candidates lie in it is random: no branch
  const s: u32 = here >> 2
  const tens: u32 = s / 10
  const tensUnder = u32(lower <= tens * 40)
  const tensOver = u32(tens * 40 + 40 <= upper)
  const under = u32(lower <= s * 4)
  const over = u32(s * 4 + 4 <= upper)
  const middle: u32 = s * 4 + 2
  const nearer = u32(here > middle) | (u32(here == middle) & (s & 1))
  const short = (tensUnder ^ tensOver) & u32(s >= 10)
  const n = select<u32>(tens + tensOver, s + select<u32>(over, nearer, under ^ over), short)
  return <u64>n | (<u64>(k + <i32>short) << 32)
}

/** Writes x at p; returns the byte after it. At most 16 bytes, of 32 that may be touched. */
// @ts-expect-error: decorator
@inline
export function printFloat32(x: f32, p: usize): usize {
  const bits = reinterpret<u32>(x)
  if ((bits & 0x7f800000) == 0x7f800000) return printWord(bits, p)
  store<u8>(p, MINUS)
  p += bits >> 31
  if ((bits & 0x7fffffff) == 0) {
    store<u8>(p, 0x30)
    return p + 1
  }
  const decimal = shortest(bits)
  return printDecimal(<u32>decimal, <i32>(decimal >> 32), p)
}

/** significand·10^k: as a plain number from 0.0001 up to 10^10, else with an exponent. */
// @ts-expect-error: decorator
@inline
function printDecimal(significand: u32, k: i32, p: usize): usize {
  let digits = sixteenDigits(significand / 100000000, significand % 100000000)
  const used = <u32>i8x16.bitmask(i8x16.ne(digits, i8x16.splat(0)))
  // trailing zeros are not written
  let zeros = <i32>clz(used) - 16
  let length = 16 - <i32>ctz(used)
  const top = length + k - 1
  if (top > 9 || top < -4) {
    length -= zeros
    p = spread(digits, zeros, length, 1, p)
    store<u8>(p, 0x65)
    store<u8>(p, top < 0 ? MINUS : 0x2b, 1)
    const size = <u32>abs(top)
    if (size < 10) {
      store<u8>(p, <u8>(0x30 + size), 2)
      return p + 3
    }
    store<u8>(p, <u8>(0x30 + size / 10), 2)
    store<u8>(p, <u8>(0x30 + (size % 10)), 3)
    return p + 4
  }
  // digits behind the point; before it at least one stands
  let part = -k - zeros
  if (part < 0) {
    if (k > 0) {
      let n: u64 = significand
      for (let power = k; power > 0; power--) n *= 10
      digits = sixteenDigits(<u32>(n / 100000000), <u32>(n % 100000000))
      length += k
    }
    zeros = k > 0 ? 0 : -k
    part = 0
  }
  length -= zeros
  length = max(length, part + 1)
  return spread(digits, zeros, length, length - part, p)
}

/** The last `length` of the digits before the last `zeros` of them, with a point behind the first `whole` if any follow. */
// @ts-expect-error: decorator
@inline
function spread(digits: v128, zeros: i32, length: i32, whole: i32, p: usize): usize {
  const text = v128.or(digits, i8x16.splat(0x30))
  const lane = v128.load(LANES)
  const first = i8x16.splat(<i8>(16 - zeros - length))
  // lanes behind the point take the digit one before theirs
  const place = i8x16.add(i8x16.add(lane, first), i8x16.gt_s(lane, i8x16.splat(<i8>(whole))))
  const pointed = i8x16.eq(lane, i8x16.splat(<i8>whole))
  v128.store(p, v128.bitselect(i8x16.splat(0x2e), i8x16.swizzle(text, place), pointed))
  return p + length + i32(whole < length)
}

function printWord(bits: u32, p: usize): usize {
  if ((bits & 0x7fffff) != 0) {
    store<u32>(p, 0x4e614e22) // "NaN
    store<u8>(p, 0x22, 4)
    return p + 5
  }
  store<u8>(p, 0x22)
  store<u8>(p, MINUS, 1)
  p += 1 + (bits >> 31)
  store<u64>(p, 0x7974696e69666e49) // Infinity
  store<u8>(p, 0x22, 8)
  return p + 9
}

/** Brackets that element n of an array with inner arrays of these sizes (0: no such axis) stands at the edge of. */
function edges(n: u32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32): i32 {
  let edges = 0
  if (h != 0 && n % h == 0) edges++
  if (g != 0 && n % g == 0) edges++
  if (f != 0 && n % f == 0) edges++
  if (e != 0 && n % e == 0) edges++
  if (d != 0 && n % d == 0) edges++
  if (c != 0 && n % c == 0) edges++
  if (b != 0 && n % b == 0) edges++
  if (a != 0 && n % a == 0) edges++
  return edges
}

/**
 * Elements [from, to) of a tensor at `values`, float64 where `wide` (rounded to float32) else float32, as text at p with
 * the commas and brackets around them; returns the byte after it. Inner arrays have `row` elements, the arrays around
 * them a, b, … (0: no such axis); a tensor without axes has row = 0.
 */
export function printElements(
  values: usize, wide: bool, from: u32, to: u32, p: usize,
  row: u32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32,
): usize {
  // elements until the innermost array ends, and of it before the first
  let left: u32 = row == 0 ? 0xffffffff : row - (from % row)
  let fresh = row != 0 && left == row
  for (let n = from; n < to; n++) {
    if (n > 0) store<u8>(p++, COMMA)
    if (fresh) for (let open = edges(n, row, a, b, c, d, e, f, g); open > 0; open--) store<u8>(p++, OPEN)
    p = printFloat32(wide ? <f32>load<f64>(values + (<usize>n << 3)) : load<f32>(values + (<usize>n << 2)), p)
    fresh = --left == 0
    if (fresh) {
      for (let shut = edges(n + 1, row, a, b, c, d, e, f, g); shut > 0; shut--) store<u8>(p++, CLOSE)
      left = row
    }
  }
  return p
}
