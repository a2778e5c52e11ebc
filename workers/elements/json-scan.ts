/**
 * One structural pass over JSON text (RFC 8259, strictly): checks the grammar and yields a small tree in which the large
 * things, arrays of numbers and base64 strings, are only located. Their elements are read later, straight into tensors.
 *
 * In the tree a *bigint* n stands for `spans[n]`: JSON has no bigints, so no client can forge one. What is left of the
 * body beside those spans is bounded, so a body of 85 million empty arrays is a fault, not the end of the heap.
 */

import {
  CLOSE,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  isDigit,
  isSpace,
  JsonCursor,
  latin1,
  MINUS,
  matches,
  OPEN,
  OPEN_OBJECT,
  QUOTE,
  type ScanFault,
  Stop,
} from './json-cursor.ts'

/** Where an array of numbers or booleans, or a string, stands in the text. */
export type Span =
  | {
      kind: 'numbers'
      element: 'number' | 'boolean'
      shape: number[]
      count: number
      /** byte of the opening bracket, and the byte after the closing one */
      start: number
      end: number
      /** [byte, element] pairs, flattened: places at which reading may begin, the first being [start, 0] */
      marks: number[]
    }
  | {
      kind: 'text'
      /** the bytes between the quotes */
      start: number
      end: number
      /** has backslashes in it */
      escaped: boolean
    }

export type JsonScan = { ok: true; value: unknown; spans: Span[] } | { ok: false; fault: ScanFault }

/** Elements between two marks. */
export const MARK_ELEMENTS = 65536
const MAX_DEPTH = 64
const MAX_RANK = 8
/** Values beside the spans. */
const MAX_NODES = 100_000
/** Bytes of keys and strings beside the spans. */
const MAX_TEXT = 1 << 20
/** Strings longer than this are located, not read; those under the key `base64` always are. */
const LONG_TEXT = 1024

const NUMBER_WORDS = ['NaN', 'Infinity', '-Infinity']

export function scanJson(bytes: Uint8Array): JsonScan {
  const scanner = new Scanner(bytes)
  try {
    return { ok: true, value: scanner.document(), spans: scanner.spans }
  } catch (error) {
    if (error instanceof Stop) return { ok: false, fault: error.fault }
    throw error
  }
}

class Scanner extends JsonCursor {
  readonly spans: Span[] = []
  readonly #path: (string | number)[] = []
  #nodes = 0
  #text = 0
  /** inside an array of numbers */
  #tensor = false
  /** byte of the first thing in the brackets looked into last, and whether it is one of a numeric array */
  #peeked = 0
  #peekedNumeric = false

  document(): unknown {
    const value = this.#value(0, false)
    this.space()
    if (this.at < this.bytes.length) this.syntax('the end of the body')
    return value
  }

  #value(depth: number, base64: boolean): unknown {
    this.space()
    if (++this.#nodes > MAX_NODES) this.#stop(`expected at most ${MAX_NODES} values beside tensors, got more`)
    const byte = this.bytes[this.at]
    if (byte === QUOTE) return this.#string(base64)
    if (byte === OPEN) return this.#array(depth + 1)
    if (byte === OPEN_OBJECT) return this.#object(depth + 1)
    if (byte === MINUS || isDigit(byte)) {
      const start = this.at
      this.number()
      return Number(latin1(this.bytes, start, this.at))
    }
    if (this.word('true')) return true
    if (this.word('false')) return false
    if (this.word('null')) return null
    return this.syntax('a JSON value')
  }

  #object(depth: number): Record<string, unknown> {
    this.#deeper(depth)
    const result: Record<string, unknown> = Object.create(null)
    this.at++
    this.space()
    if (this.bytes[this.at] === CLOSE_OBJECT) {
      this.at++
      return result
    }
    for (;;) {
      this.space()
      if (this.bytes[this.at] !== QUOTE) this.syntax('a key in quotes')
      const key = this.#shortString('key')
      this.#path.push(key)
      if (key in result) this.#stop(`expected one ${JSON.stringify(key)}, got two`)
      this.space()
      if (this.bytes[this.at] !== COLON) this.syntax('":"')
      this.at++
      result[key] = this.#value(depth, key === 'base64')
      this.#path.pop()
      this.space()
      const byte = this.bytes[this.at++]
      if (byte === CLOSE_OBJECT) return result
      if (byte !== COMMA) {
        this.at--
        this.syntax('"," or "}"')
      }
    }
  }

  #array(depth: number): unknown {
    this.#deeper(depth)
    if (this.#numeric()) return this.#numbers()
    const result: unknown[] = []
    this.at++
    for (;;) {
      this.#path.push(result.length)
      result.push(this.#value(depth, false))
      this.#path.pop()
      this.space()
      const byte = this.bytes[this.at++]
      if (byte === CLOSE) return result
      if (byte !== COMMA) {
        this.at--
        this.syntax('"," or "]"')
      }
    }
  }

  /** Is the first thing in these brackets, however deep, a number, a boolean or nothing? */
  #numeric(): boolean {
    const bytes = this.bytes
    // seen from the brackets around these already: looking once keeps the pass linear
    if (this.at < this.#peeked) return this.#peekedNumeric
    let at = this.at
    while (bytes[at] === OPEN || isSpace(bytes[at])) at++
    this.#peeked = at
    this.#peekedNumeric = this.#startsNumber(at)
    return this.#peekedNumeric
  }

  #startsNumber(at: number): boolean {
    const bytes = this.bytes
    const byte = bytes[at]
    if (byte === MINUS || isDigit(byte) || byte === CLOSE || byte === 0x74 || byte === 0x66) return true
    return byte === QUOTE && NUMBER_WORDS.some(word => matches(bytes, at + 1, `${word}"`))
  }

  /** An array of numbers or booleans of any rank: checks that it is regular, and remembers where to find what. */
  #numbers(): bigint {
    this.#tensor = true
    const bytes = this.bytes
    const start = this.at
    const marks = [start, 0]
    /** how many members each level's arrays have, −1 until the first has ended; and of those open now */
    const shape: number[] = []
    const members: number[] = []
    let level = 0
    let rank = -1
    let count = 0
    let element: 'number' | 'boolean' | undefined
    const place = () => [...this.#path, ...members.slice(0, level)]
    for (;;) {
      this.space()
      const byte = bytes[this.at]
      if (byte === OPEN && level === rank)
        this.#stop(`expected a ${element ?? 'number'}, got an array`, place())
      if (byte === OPEN) {
        if (level === MAX_RANK) this.#stop(`expected at most ${MAX_RANK} axes, got more`, place())
        this.at++
        if (shape.length === level) shape.push(-1)
        members[level++] = 0
        this.space()
        if (bytes[this.at] !== CLOSE) continue
        // an empty array: nothing can stand below this level
        if (rank >= 0 && level !== rank)
          this.#stop('expected an array, got an empty one', place().slice(0, -1))
        rank = level
      } else {
        if (rank < 0) rank = level
        if (level !== rank) this.#stop(`expected an array, got a ${this.#leaf(undefined, place)}`, place())
        const kind = this.#leaf(element, place)
        element ??= kind
        if (kind !== element) this.#stop(`expected a ${element}, got a ${kind}`, place())
        members[level - 1]++
        count++
      }
      // what follows a member: closing brackets, then a comma or the end
      for (;;) {
        this.space()
        const next = bytes[this.at]
        if (next === CLOSE) {
          this.at++
          level--
          const found = members[level]
          if (shape[level] < 0) shape[level] = found
          else if (shape[level] !== found) {
            this.#stop(`expected ${shape[level]} elements as in the first, got ${found}`, place())
          }
          if (level === 0) {
            this.spans.push({
              kind: 'numbers',
              element: element ?? 'number',
              shape,
              count,
              start,
              end: this.at,
              marks,
            })
            this.#tensor = false
            return BigInt(this.spans.length - 1)
          }
          members[level - 1]++
        } else if (next === COMMA) {
          this.at++
          if (count >= marks[marks.length - 1] + MARK_ELEMENTS) marks.push(this.at, count)
          break
        } else {
          this.syntax('"," or "]"')
        }
      }
      this.space()
      if (bytes[this.at] === CLOSE) this.syntax('a value')
    }
  }

  /** Steps over one leaf of a numeric array and says what it was. */
  #leaf(wanted: 'number' | 'boolean' | undefined, place: () => (string | number)[]): 'number' | 'boolean' {
    const byte = this.bytes[this.at]
    if (byte === MINUS || isDigit(byte)) {
      this.number()
      return 'number'
    }
    if (this.word('true') || this.word('false')) return 'boolean'
    if (byte === QUOTE) {
      const word = NUMBER_WORDS.find(candidate => matches(this.bytes, this.at + 1, `${candidate}"`))
      if (word !== undefined) {
        this.at += word.length + 2
        return 'number'
      }
      this.#stop(
        `expected a ${wanted ?? 'number'} or one of ${NUMBER_WORDS.join(', ')}, got another string`,
        place(),
      )
    }
    if (byte === OPEN_OBJECT) this.#stop(`expected a ${wanted ?? 'number'}, got an object`, place())
    if (this.word('null')) this.#stop(`expected a ${wanted ?? 'number'}, got null`, place())
    return this.syntax('a number')
  }

  /** A string value: read when short, located when long. */
  #string(locate: boolean): unknown {
    const start = this.at + 1
    const escaped = this.skipString()
    const end = this.at - 1
    if (!locate && end - start <= LONG_TEXT) return this.#read(start, end)
    this.spans.push({ kind: 'text', start, end, escaped })
    return BigInt(this.spans.length - 1)
  }

  #shortString(what: string): string {
    const start = this.at + 1
    this.skipString()
    if (this.at - 1 - start > LONG_TEXT)
      this.#stop(`expected a ${what} of at most ${LONG_TEXT} bytes, got a longer one`)
    return this.#read(start, this.at - 1)
  }

  #read(start: number, end: number): string {
    this.#text += end - start
    if (this.#text > MAX_TEXT) this.#stop(`expected at most ${MAX_TEXT} bytes of keys and strings, got more`)
    const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start - 1, end - start + 2)
    const decoded = text.toString('utf8')
    // a replacement character that the client did not write stands for bytes that are no UTF-8
    if (decoded.includes('\ufffd') && Buffer.compare(Buffer.from(decoded), text) !== 0)
      this.fail(start, 'UTF-8')
    try {
      return JSON.parse(decoded)
    } catch {
      return this.fail(start, 'a string with valid escapes')
    }
  }

  #deeper(depth: number): void {
    if (depth > MAX_DEPTH) this.#stop(`expected at most ${MAX_DEPTH} levels, got more`)
  }

  #stop(message: string, path: (string | number)[] = this.#path): never {
    const pointer = path.map(key => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
    throw new Stop({ position: this.at, pointer, message, tensor: this.#tensor })
  }
}

/** The numbers of a span as nested arrays; for short lists only. */
export function expandNumbers(bytes: Uint8Array, span: Extract<Span, { kind: 'numbers' }>): unknown {
  return JSON.parse(latin1(bytes, span.start, span.end))
}
