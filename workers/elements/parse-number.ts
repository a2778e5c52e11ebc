/**
 * Reads one JSON number from text that `scanJson` has accepted, correctly rounded to float64.
 *
 * Up to 15 digits and a power of ten up to 10^22 are exact doubles, so one multiplication or division rounds once
 * (Clinger 1990). 16 to 19 digits, which is how most languages print a double, are held as head·10^t + tail in two
 * doubles, divided by 10^k in double-double arithmetic (Dekker 1971), and rounded once, unless the quotient is so near
 * the middle between two doubles that 106 bits might not tell. Everything else goes through the engine's own conversion.
 */
import { latin1 } from './json-cursor.ts'

export const POWERS = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))
/** Upper halves of the powers, for exact products (Dekker's splitting). */
const POWER_HEADS = POWERS.map(head)
/** A byte ^ ZERO is the digit it stands for, or more than 9; a point's is POINT. */
const ZERO = 0x30
const POINT = 0x2e ^ ZERO
/** A significand below this takes another digit. */
const MORE = 1e14
/** Relative distance from a tie below which double-double arithmetic is not trusted. */
const DOUBT = 2 ** -40

export class NumberReader {
  /** byte after the number read last */
  at = 0
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** `from` is the byte of the number's first character. */
  read(from: number): number {
    const bytes = this.#bytes
    let at = from
    const negative = bytes[at] === 0x2d
    if (negative) at++
    // the first 15 significant digits (leading stays below 10^15), and those after them
    let leading = 0
    let exponent = 0
    let digit = bytes[at] ^ ZERO
    while (digit <= 9 && leading < MORE) {
      leading = leading * 10 + digit
      digit = bytes[++at] ^ ZERO
    }
    let tail = 0
    let count = 0
    while (digit <= 9) {
      tail = tail * 10 + digit
      count++
      digit = bytes[++at] ^ ZERO
    }
    if (digit === POINT) {
      const point = ++at
      digit = bytes[at] ^ ZERO
      while (digit <= 9 && leading < MORE) {
        leading = leading * 10 + digit
        digit = bytes[++at] ^ ZERO
      }
      while (digit <= 9) {
        tail = tail * 10 + digit
        count++
        digit = bytes[++at] ^ ZERO
      }
      exponent = point - at
    }
    if ((bytes[at] | 0x20) === 0x65) {
      at++
      const minus = bytes[at] === 0x2d
      if (minus || bytes[at] === 0x2b) at++
      let power = 0
      digit = bytes[at] ^ ZERO
      while (digit <= 9) {
        power = power * 10 + digit
        digit = bytes[++at] ^ ZERO
      }
      exponent += minus ? -power : power
    }
    this.at = at
    if (exponent >= -22) {
      if (count === 0 && exponent <= 22) {
        const value = exponent < 0 ? leading / POWERS[-exponent] : leading * POWERS[exponent]
        return negative ? -value : value
      }
      if (count <= 4 && exponent <= 0) {
        const value = quotient(leading, count, tail, -exponent)
        if (value > 0) return negative ? -value : value
      }
    }
    return Number(latin1(bytes, from, at))
  }
}

/** (leading·10^digits + tail)/10^power, rounded once; 0 when that cannot be told for certain. */
function quotient(leading: number, digits: number, tail: number, power: number): number {
  // leading·10^digits, exactly, as product + error
  const product = leading * POWERS[digits]
  const error = productError(leading, digits, product)
  // + tail: high + low
  const high = product + tail
  const low = error + (tail - (high - product))
  const divisor = POWERS[power]
  const first = high / divisor
  const back = first * divisor
  const rest = high - back - productError(first, power, back) + low
  const second = rest / divisor
  const value = first + second
  return first + second * (1 + DOUBT) === value && first + second * (1 - DOUBT) === value ? value : 0
}

/** The rounding error of x·10^power, given the rounded product. */
function productError(x: number, power: number, product: number): number {
  const xHead = head(x)
  const xTail = x - xHead
  const pHead = POWER_HEADS[power]
  const pTail = POWERS[power] - pHead
  return xHead * pHead - product + xHead * pTail + xTail * pHead + xTail * pTail
}

/** The upper 26 bits of a double. */
function head(x: number): number {
  const shifted = x * 134217729
  return shifted - (shifted - x)
}
