/**
 * The structural pass over an array of numbers or booleans of any rank: checks the grammar and that the array is
 * regular, and counts. Stops after a while, so that others get their turn; what it knows stands in `Progress`.
 */
import { isDigit, startsNumber } from './digits'
import { missing, skipNumber } from './number'
import { nextComma, plainDigits, unsigned } from './plain'

/** What the pass knows between two calls. `text-kernels.ts` reads it by these offsets. */
@unmanaged
class Progress {
  /** address of the byte that comes next */
  at: u32
  /** brackets open now */
  level: u32
  /** brackets around a leaf, NONE until the first leaf or empty array */
  rank: u32
  /** leaves so far */
  count: u32
  /** of the leaves: UNKNOWN, NUMBER or BOOLEAN */
  element: u32
}

/** Behind `Progress`: how many members each level's arrays have (NONE until the first has ended), and those open now. */
const SHAPE: usize = 20
const MEMBERS: usize = 52
const MAX_LEVELS: u32 = 8
const NONE: u32 = 0xffffffff

/** How a call ends; above PAUSED it has found a fault. */
const DONE: i32 = 0
const PAUSED: i32 = 1
/** no digit where there must be one (`at`) */
const NO_DIGIT: i32 = 2
/** no value after a comma */
const NO_VALUE: i32 = 3
/** neither comma nor bracket behind a member */
const NO_SEPARATOR: i32 = 4
/** what stands there is no number, no boolean and no array */
const NO_LEAF: i32 = 5
const TOO_DEEP: i32 = 6
/** an array where a leaf should be, an empty one or a leaf where an array should be */
const ARRAY: i32 = 7
const EMPTY: i32 = 8
const LEAF: i32 = 9
/** a boolean among numbers or the reverse */
const MIXED: i32 = 10
/** another number of members than in the first array of the level */
const RAGGED: i32 = 11
/** a number of more than MOST_NUMBER bytes */
const LONG: i32 = 12

/** No program writes a number of more bytes: `json-cursor.ts` has the same. */
const MOST_NUMBER: usize = 4096

const UNKNOWN: u32 = 0
const NUMBER: u32 = 1
const BOOLEAN: u32 = 2

const OPEN: u32 = 0x5b
const CLOSE: u32 = 0x5d
const COMMA: u32 = 0x2c
const MINUS: u32 = 0x2d

/** The byte after white space. */
export function skipSpace(p: usize, end: usize): usize {
  while (p < end) {
    const v = v128.load(p)
    const space = v128.or(
      v128.or(i8x16.eq(v, i8x16.splat(0x20)), i8x16.eq(v, i8x16.splat(0x0a))),
      v128.or(i8x16.eq(v, i8x16.splat(0x0d)), i8x16.eq(v, i8x16.splat(0x09))),
    )
    const others = ~i8x16.bitmask(space) & 0xffff
    if (others != 0) {
      p += ctz(others)
      return p < end ? p : end
    }
    p += 16
  }
  return end
}

/** p, or the byte after white space that begins there: rarely any. */
// @ts-expect-error: decorator
@inline
function unspaced(p: usize, end: usize): usize {
  return load<u8>(p) > 0x20 ? p : skipSpace(p, end)
}

/** The byte after the true, false, "NaN", "Infinity" or "-Infinity" at p; p itself when there is none. */
function skipWord(p: usize): usize {
  const four = load<u32>(p)
  if (four == 0x65757274) return p + 4 // true
  if (four == 0x736c6166 && load<u8>(p, 4) == 0x65) return p + 5 // fals e
  if (four == 0x4e614e22 && load<u8>(p, 4) == 0x22) return p + 5 // "NaN "
  const word = p + 1 + <usize>(load<u8>(p, 1) == MINUS)
  // "Infinity"
  if ((four & 0xff) == 0x22 && load<u64>(word) == 0x7974696e69666e49 && load<u8>(word, 8) == 0x22) return word + 9
  return p
}

/**
 * Goes on until the array has ended, or, behind a comma, until there are `mostCount` leaves or `most` is reached.
 * The first call begins at the opening bracket, with level and count 0.
 */
export function scanNumbers(progress: usize, end: usize, mostCount: u32, most: usize): i32 {
  const state = changetype<Progress>(progress)
  let p: usize = state.at
  let level = state.level
  let rank = state.rank
  let count = state.count
  let element = state.element
  /** members of the innermost array open now */
  let members = level > 0 ? load<u32>(progress + (level << 2), MEMBERS - 4) : 0
  let status = DONE
  for (;;) {
    // as many plain numbers as follow each other
    if (level == rank && element == NUMBER) {
      while (count < mostCount && p < most) {
        const comma = nextComma(p)
        if (plainDigits(unsigned(p), comma) == 0 || comma >= end) break
        members++
        count++
        p = comma + 1
      }
    }
    // any member: an array, or a leaf
    p = unspaced(p, end)
    const byte = <u32>load<u8>(p)
    if (byte == OPEN && p < end) {
      if (level == rank) status = ARRAY
      else if (level == MAX_LEVELS) status = TOO_DEEP
      if (status != DONE) break
      if (level > 0) store<u32>(progress + (level << 2), members, MEMBERS - 4)
      members = 0
      level++
      p = unspaced(p + 1, end)
      if (load<u8>(p) != CLOSE || p >= end) continue
      if (rank != NONE && level != rank) {
        status = EMPTY
        break
      }
      rank = level
    } else {
      if (rank == NONE) rank = level
      let kind = NUMBER
      let q: usize
      if (startsNumber(byte)) {
        q = skipNumber(p)
        if (missing != 0) {
          p = missing
          status = NO_DIGIT
          break
        }
        if (q - p > MOST_NUMBER) {
          status = LONG
          break
        }
      } else {
        if (byte == CLOSE) {
          status = NO_VALUE
          break
        }
        q = skipWord(p)
        if (q == p) {
          status = NO_LEAF
          break
        }
        if (byte != 0x22) kind = BOOLEAN
      }
      p = q
      if (element != kind) {
        if (element == UNKNOWN) element = kind
        else status = MIXED
      }
      if (level != rank) status = LEAF
      if (status != DONE || p > end) break
      members++
      count++
    }
    // what follows a member: closing brackets, then a comma or the end
    let next: u32
    for (;;) {
      p = unspaced(p, end)
      next = p < end ? <u32>load<u8>(p) : 0
      if (next != CLOSE) break
      p++
      level--
      const place = progress + (level << 2)
      const wanted = load<u32>(place, SHAPE)
      if (wanted == NONE) store<u32>(place, members, SHAPE)
      else if (wanted != members) {
        store<u32>(place, members, MEMBERS)
        status = RAGGED
        break
      }
      if (level == 0) break
      members = load<u32>(place, MEMBERS - 4) + 1
    }
    if (level == 0 || status != DONE) break
    if (next != COMMA) {
      status = NO_SEPARATOR
      break
    }
    p++
    if (count >= mostCount || p >= most) {
      status = PAUSED
      break
    }
  }
  if (p > end) {
    p = end
    status = NO_SEPARATOR
  }
  if (level > 0 && status != RAGGED) store<u32>(progress + (level << 2), members, MEMBERS - 4)
  state.at = <u32>p
  state.level = level
  state.rank = rank
  state.count = count
  state.element = element
  return status
}

/** By how many bytes the escapes that `skipString` has met are longer than what they stand for; below 0, what is wrong. */
export let escapes: i32 = 0
/** no escape begins with the byte behind the backslash */
const NO_ESCAPE: i32 = -1
/** no hexadecimal digit where there must be one */
const NO_HEX: i32 = -2

const BACKSLASH: u32 = 0x5c
const LETTER_U: u32 = 0x75

// @ts-expect-error: decorator
@inline
function isHex(byte: u32): bool {
  return isDigit(byte) || (byte | 0x20) - 0x61 <= 5
}

/** Whether it may stand behind a backslash: one of " \\ / b f n r t. */
function isEscape(byte: u32): bool {
  switch (byte) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return true
    default:
      return false
  }
}

/** The byte after the escape at p, or `end`; where it is wrong, that byte, and `escapes` says so. */
function skipEscape(p: usize, end: usize): usize {
  if (p + 1 >= end) return end
  const byte = <u32>load<u8>(p, 1)
  if (byte != LETTER_U) {
    escapes = isEscape(byte) ? escapes + 1 : NO_ESCAPE
    return escapes < 0 ? p + 1 : p + 2
  }
  for (let digit = p + 2; digit < p + 6; digit++) {
    if (digit >= end) return end
    if (isHex(load<u8>(digit))) continue
    escapes = NO_HEX
    return digit
  }
  escapes += 5
  return p + 6
}

/**
 * From p inside a string: the address of its closing quote, of a control character, of what is wrong with an escape (see
 * `escapes`), or else `most`, at which to go on: the byte after an escape that reaches over it.
 */
export function skipString(p: usize, end: usize, most: usize): usize {
  escapes = 0
  while (p < most) {
    const v = v128.load(p)
    const stop = v128.or(
      v128.or(i8x16.eq(v, i8x16.splat(0x22)), i8x16.eq(v, i8x16.splat(0x5c))),
      i8x16.lt_u(v, i8x16.splat(0x20)),
    )
    const mask = i8x16.bitmask(stop)
    if (mask == 0) {
      p += 16
      continue
    }
    p += ctz(mask)
    if (p >= most) break
    if (load<u8>(p) != BACKSLASH) return p
    p = skipEscape(p, end)
    if (escapes < 0 || p >= most) return p
  }
  return most
}
