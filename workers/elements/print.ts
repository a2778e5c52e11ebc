/**
 * Numbers as JSON text, written straight into bytes.
 *
 * A float32 gets the fewest significant digits that read back to the same float32. Nine always do; from six upwards each
 * count is tried: n = round(x·10^k) is at most 9 digits and 10^k (k ≤ 22) is exact, so n/10^k is the decimal's correctly
 * rounded double, and reading it back is one division and one rounding. Trailing zeros are then dropped.
 */
import { POWERS } from './parse-number.ts'

/** No number takes more bytes: -1.23456789e-38 and -0.000123456789 have 15, float64 as JS prints it at most 24. */
export const MOST_BYTES = { float32: 16, float64: 25 }

const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30

/** Writes x at `at`; returns the byte after it. */
export function printFloat32(x: number, into: Uint8Array, at: number): number {
  if (x - x !== 0) return text(Number.isNaN(x) ? '"NaN"' : x > 0 ? '"Infinity"' : '"-Infinity"', into, at)
  let next = at
  if (x < 0 || Object.is(x, -0)) into[next++] = MINUS
  const a = Math.abs(x)
  if (a < 16777216 && Math.trunc(a) === a) return digits(a, into, next)
  let exponent = Math.floor(Math.log10(a))
  if (exponent < -14 || exponent > 28) return text(shortest(a), into, next)
  if (a < power(exponent)) exponent--
  else if (a >= power(exponent + 1)) exponent++
  for (let count = 6; count <= 9; count++) {
    const shift = count - 1 - exponent
    const n = Math.round(shift >= 0 ? a * POWERS[shift] : a / POWERS[-shift])
    const back = shift >= 0 ? n / POWERS[shift] : n * POWERS[-shift]
    if (count === 9 || readsBack(back, a)) return decimal(n, exponent, into, next, count)
  }
  return next
}

/** Float64 as JS prints it. */
export function printFloat64(x: number, into: Uint8Array, at: number): number {
  if (x - x !== 0) return text(Number.isNaN(x) ? '"NaN"' : x > 0 ? '"Infinity"' : '"-Infinity"', into, at)
  return text(Object.is(x, -0) ? '-0' : String(x), into, at)
}

/** The shortest text of a float32, as a string; for scalars and the far ends of the range. */
export function shortest(x: number): string {
  for (let count = 1; count < 9; count++) {
    const candidate = Number(x.toPrecision(count))
    if (readsBack(candidate, x)) return String(candidate)
  }
  return String(Number(x.toPrecision(9)))
}

/** Also when read as a float32 directly: the decimal is at most half a double's ulp from `decimal`. */
function readsBack(decimal: number, x: number): boolean {
  return (
    Math.fround(decimal) === x &&
    Math.fround(decimal * (1 + 3e-16)) === x &&
    Math.fround(decimal * (1 - 3e-16)) === x
  )
}

/** 10^(index − 16) */
const SCALES = Float64Array.from({ length: 48 }, (_, index) => Number(`1e${index - 16}`))

function power(exponent: number): number {
  return SCALES[exponent + 16]
}

/** n has `count` digits and stands for n·10^(exponent − count + 1); with an exponent below 0.0001 and from 10^10 on. */
function decimal(n: number, exponent: number, into: Uint8Array, at: number, count: number): number {
  let significand = n
  let length = count
  let top = exponent
  if (significand === POWERS[count]) {
    significand = 1
    length = 1
    top++
  }
  while (length > 1 && significand % 10 === 0) {
    significand /= 10
    length--
  }
  if (top > 9 || top < -4) {
    let next = spread(significand, length, 1, into, at)
    into[next++] = 0x65
    into[next++] = top < 0 ? MINUS : 0x2b
    return digits(Math.abs(top), into, next)
  }
  if (top < 0) {
    let next = at
    into[next++] = ZERO
    into[next++] = DOT
    for (let zeros = -1 - top; zeros > 0; zeros--) into[next++] = ZERO
    return spread(significand, length, length, into, next)
  }
  if (top + 1 < length) return spread(significand, length, top + 1, into, at)
  let next = spread(significand, length, length, into, at)
  for (let zeros = top + 1 - length; zeros > 0; zeros--) into[next++] = ZERO
  return next
}

/** The digits of n with a point after the first `whole` of them (none when that is all of them). */
function spread(n: number, length: number, whole: number, into: Uint8Array, at: number): number {
  const end = at + length + (whole < length ? 1 : 0)
  let rest = n
  let next = end
  for (let index = length; index > 0; index--) {
    if (index === whole && whole < length) into[--next] = DOT
    const tenth = Math.floor(rest / 10)
    into[--next] = ZERO + rest - 10 * tenth
    rest = tenth
  }
  return end
}

function digits(n: number, into: Uint8Array, at: number): number {
  let length = 1
  while (n >= POWERS[length]) length++
  return spread(n, length, length, into, at)
}

function text(value: string, into: Uint8Array, at: number): number {
  for (let index = 0; index < value.length; index++) into[at + index] = value.charCodeAt(index)
  return at + value.length
}
