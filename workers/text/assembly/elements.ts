/** Reads the elements of a tensor from text that the structural pass has accepted. */
import { startsNumber } from './digits'
import { after, readNumber } from './number'
import { nextComma, plainDigits, readPlain, unsigned } from './plain'

/** Element types of the target. */
const FLOAT64: u32 = 0
const FLOAT32: u32 = 1
const INT32: u32 = 2
const UINT8: u32 = 3

/** The element that `readElements` stopped before, and its place in the text. */
export let index: u32 = 0
export let position: usize = 0

/**
 * Writes the elements of the text from `p` to `end` at `into`, from element `first` on. Stops before one that this cannot
 * decide or that the target cannot hold: a number `readNumber` leaves to others, a non-finite one, one that is no integer
 * where there must be one, a word in quotes. `direct`: the text is of float32 values, so that the middle between two of
 * them must not be rounded as a float64.
 */
export function readElements(p: usize, end: usize, into: usize, first: u32, type: u32, direct: bool): void {
  let at = first
  while (p < end) {
    if (type == FLOAT32) {
      // as many plain numbers as follow each other
      for (;;) {
        const comma = nextComma(p)
        const start = unsigned(p)
        const part = plainDigits(start, comma)
        if (part == 0 || comma >= end) break
        const y = readPlain(start, part)
        if (y != y) break
        store<f32>(into + (<usize>at << 2), copysign<f32>(y, reinterpret<f32>(0x3f800000 + <u32>((start - p) << 31))))
        at++
        p = comma + 1
      }
    }
    const byte = <u32>load<u8>(p)
    let x: f64 = 0
    let q: usize = 0
    if (startsNumber(byte)) {
      x = readNumber(p)
      q = after
    } else if (byte == 0x74 || byte == 0x66) {
      x = byte == 0x74 ? 1 : 0
      q = p + (byte == 0x74 ? 4 : 5)
    } else if (byte == 0x22) {
      break
    } else {
      p++ // brackets, commas, white space
      continue
    }
    if (type == FLOAT32) {
      const y = <f32>x
      if (y - y != 0) break
      if (direct && isDoubtful(x)) break
      store<f32>(into + (<usize>at << 2), y)
    } else if (type == FLOAT64) {
      if (x != x) break
      store<f64>(into + (<usize>at << 3), x)
    } else {
      const n = <i32>x
      if (<f64>n != x || (type == UINT8 && <u32>n > 1)) break
      if (type == INT32) store<i32>(into + (<usize>at << 2), n)
      else store<u8>(into + at, <u8>n)
    }
    at++
    p = q
  }
  index = at
  position = p
}

/** The middle between two float32, or among the subnormal ones, whose middles look different. */
// @ts-expect-error: decorator
@inline
function isDoubtful(x: f64): bool {
  return (reinterpret<u64>(x) & 0x1fffffff) == 0x10000000 || (abs(x) < 1.1754943508222875e-38 && x != 0)
}
