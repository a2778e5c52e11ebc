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
  Stop,
} from './json-cursor.ts'
import { jsonPointer, shortened } from './json-pointer.ts'
import {
  type JsonScan,
  Pause,
  type PausedScan,
  type PausedText,
  type ScanPlace,
  type Span,
} from './json-spans.ts'
import { bareNumber, INFINITY, NAN, NUMBER_WORDS, numbersFault } from './numbers-fault.ts'
import { NumbersPass, type Outcome, PASS_BYTES, type TextKernels } from './text-kernels.ts'

const MAX_DEPTH = 64
/** Values, and those of them that are spans: four and two for each parameter of the largest stack, and some. */
const [MAX_NODES, MAX_SPANS] = [20_000, 9_000]
/** Bytes of keys and strings beside the spans. */
const MAX_TEXT = 1 << 20
/** Bytes of a string between two marks. */
const MARK_BYTES = 65536
/** Strings longer than this are located, not read; those under the key `base64` always are. */
const LONG_TEXT = 1024

/** The whole text at once. */
export function scanJson(kernels: TextKernels, bytes: Uint8Array, work: number): JsonScan {
  const scan = scanPiece(kernels, bytes, { work })
  if ('paused' in scan) throw new Error('a scan without a limit has paused')
  return scan
}

/** A piece of the text; the last one answers. */
export function scanPiece(
  kernels: TextKernels,
  bytes: Uint8Array,
  place: ScanPlace,
): JsonScan | { paused: PausedScan } {
  const scanner = new Scanner(kernels, bytes, place)
  try {
    return { ok: true, value: scanner.document(), spans: scanner.spans }
  } catch (error) {
    if (error instanceof Stop) return { ok: false, fault: error.fault }
    if (error instanceof Pause) return { paused: error.scan }
    throw error
  }
}

class Scanner extends JsonCursor {
  readonly spans: Span[] = []
  readonly #path: (string | number)[] = []
  readonly #work: Uint32Array
  readonly #resume: PausedScan
  /** the byte at which to pause */
  readonly #most: number
  readonly #mostNodes: number
  #nodes = 0
  #text = 0
  /** inside an array of numbers */
  #tensor = false
  /** byte of the first thing in the brackets looked into last, and whether it is one of a numeric array */
  #peeked = 0
  #peekedNumeric = false

  constructor(kernels: TextKernels, bytes: Uint8Array, { work, piece, values, resume }: ScanPlace) {
    super(kernels, bytes)
    this.#work = new Uint32Array(bytes.buffer, work, PASS_BYTES / 4)
    this.#resume = { spans: [], open: undefined, at: 0, ...resume }
    this.#most = this.#resume.at + (piece ?? Number.POSITIVE_INFINITY)
    this.#mostNodes = values ?? MAX_NODES
  }

  document(): unknown {
    const value = this.#value(0, false)
    this.space()
    if (this.at < this.bytes.length) this.syntax('the end of the body')
    return value
  }

  #value(depth: number, base64: boolean): unknown {
    this.space()
    if (++this.#nodes > this.#mostNodes) this.#full()
    const byte = this.bytes[this.at]
    if (byte === QUOTE) return this.#string(base64)
    if (depth === MAX_DEPTH && (byte === OPEN || byte === OPEN_OBJECT)) {
      this.#stop(`expected at most ${MAX_DEPTH} levels, got more`)
    }
    if (byte === OPEN) return this.#array(depth + 1)
    if (byte === OPEN_OBJECT) return this.#object(depth + 1)
    const word = byte === MINUS ? this.bytes[this.at + 1] : byte
    const bare = word === NAN || word === INFINITY ? bareNumber(this.bytes, this.at) : undefined
    if (bare !== undefined) this.#stop(bare)
    if (byte === MINUS || isDigit(byte)) {
      const start = this.at
      this.number()
      const value = Number(latin1(this.bytes, start, this.at))
      // what was written is shown to its sender
      return Number.isFinite(value) ? value : this.#locate({ kind: 'huge', start, end: this.at })
    }
    if (this.word('true')) return true
    if (this.word('false')) return false
    if (this.word('null')) return null
    return this.syntax('a JSON value')
  }

  #object(depth: number): Record<string, unknown> {
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
      const key = this.#key()
      this.#path.push(key)
      if (key in result) this.#stop(`expected one ${JSON.stringify(shortened(key))}, got two`)
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
    for (;;) {
      while (bytes[at] === OPEN) at++
      if (!isSpace(bytes[at])) break
      at = this.kernels.skipSpace(this.start + at, this.end) - this.start
    }
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

  /** An array of numbers or booleans of any rank. */
  #numbers(): bigint {
    const known = this.#known()
    if (known !== undefined) return known
    const paused = this.#resume.open?.numbers
    const open = paused?.start === this.at ? paused : undefined
    if (open === undefined && this.at >= this.#most) this.#pause(undefined)
    const pass = new NumbersPass(this.kernels, this, this.#work, open ?? this.at)
    this.#tensor = true
    const outcome = pass.run(this.#most)
    this.at = pass.at
    if (outcome === 'paused') this.#pause({ numbers: pass.paused })
    if (outcome !== 'done') this.#refuse(outcome, pass)
    this.#tensor = false
    const { start, count, element = 'number', shape, marks } = pass
    return this.#locate({ kind: 'numbers', element, shape, count, start, end: this.at, marks })
  }

  #refuse(outcome: Outcome, pass: NumbersPass): never {
    const fault = numbersFault(outcome, pass, this.bytes)
    if ('syntax' in fault) return this.syntax(fault.syntax)
    return this.#stop(fault.message, [...this.#path, ...fault.place])
  }

  /** A string value: read when short, located when long. */
  #string(locate: boolean): unknown {
    const known = this.#known()
    if (known !== undefined) return known
    const start = this.at + 1
    const paused = this.#resume.open?.text
    const open = paused?.start === start ? paused : undefined
    if (open === undefined && this.at >= this.#most) this.#pause(undefined)
    const { longer, marks } = this.#skipString(open ?? { start, at: start, longer: 0, marks: [] })
    const end = this.at - 1
    const escaped = longer > 0
    if (!locate && end - start <= LONG_TEXT) return this.#read(start, end, escaped)
    return this.#locate({ kind: 'text', start, end, escaped, characters: end - start - longer, marks })
  }

  /** Steps over a string, or what is left of one. */
  #skipString(text: PausedText): PausedText {
    for (;;) {
      const mark = text.at + MARK_BYTES - ((text.at - text.start) % MARK_BYTES)
      const byte = this.skipPart(text, Math.min(mark, this.#most))
      if (byte === QUOTE) {
        this.at = text.at + 1
        return text
      }
      if (!(byte >= 0x20)) this.unclosed(text.at)
      if (text.at >= mark && text.longer > 0) text.marks.push(text.at, text.at - text.start - text.longer)
      if (text.at >= this.#most) this.#pause({ text })
    }
  }

  #key(): string {
    const start = this.at + 1
    const text = { start, at: start, longer: 0, marks: [] }
    const byte = this.skipPart(text, start + LONG_TEXT)
    if (byte !== QUOTE) {
      if (byte >= 0x20) this.#stop(`expected a key of at most ${LONG_TEXT} bytes, got a longer one`)
      this.unclosed(text.at)
    }
    this.at = text.at + 1
    return this.#read(start, text.at, text.longer > 0)
  }

  #read(start: number, end: number, escaped: boolean): string {
    this.#text += end - start
    if (this.#text > MAX_TEXT) this.#stop(`expected at most ${MAX_TEXT} bytes of keys and strings, got more`)
    const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, end - start)
    const decoded = text.toString('utf8')
    // a replacement character that the client did not write stands for bytes that are no UTF-8
    if (decoded.includes('\ufffd') && Buffer.compare(Buffer.from(decoded), text) !== 0)
      this.fail(start, 'UTF-8')
    return escaped ? JSON.parse(`"${decoded}"`) : decoded
  }

  /** What a piece before has located here. */
  #known(): bigint | undefined {
    const known = this.#resume.spans[this.spans.length]
    if (known === undefined || known.start !== this.at + (known.kind === 'text' ? 1 : 0)) return undefined
    this.at = known.end + (known.kind === 'text' ? 1 : 0)
    return this.#locate(known)
  }

  #locate(span: Span): bigint {
    if (this.spans.push(span) > MAX_SPANS)
      this.#stop(`expected at most ${MAX_SPANS} tensors and long strings, got more`)
    return BigInt(this.spans.length - 1)
  }

  #full(): never {
    if (this.#mostNodes < MAX_NODES) this.#pause(undefined)
    return this.#stop(`expected at most ${MAX_NODES} values beside tensors, got more`)
  }

  #pause(open: PausedScan['open']): never {
    throw new Pause({ spans: this.spans, open, at: open?.text?.at ?? this.at })
  }

  #stop(message: string, path: (string | number)[] = this.#path): never {
    throw new Stop({ position: this.at, pointer: jsonPointer(...path), message, tensor: this.#tensor })
  }
}
