/** Steps over the tokens of JSON text (RFC 8259, strictly) and says what is wrong where one is not. */
import type { TextKernels } from './text-kernels.ts'

export interface ScanFault {
  position: number
  /** JSON pointer to what is wrong, where the grammar is right and the meaning is not; else '' */
  pointer: string
  message: string
  /** the text is JSON, but what stands at the pointer is no tensor: ragged, or of mixed elements */
  tensor: boolean
}

export class Stop extends Error {
  readonly fault: ScanFault

  constructor(fault: ScanFault) {
    super(fault.message)
    this.fault = fault
  }
}

/** Character codes. */
export const QUOTE = 0x22
export const COMMA = 0x2c
export const MINUS = 0x2d
export const ZERO = 0x30
export const COLON = 0x3a
export const OPEN = 0x5b
export const CLOSE = 0x5d
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d

/** Bytes of one number. The longest that programs write, float64 in full decimal digits, have 1077. */
const MOST_NUMBER = 4096
export const LONG_NUMBER = `expected a number of at most ${MOST_NUMBER} bytes, got a longer one`

/** What `escapes` of the text kernels says where one is wrong. */
const NO_ESCAPE = -1
const NO_HEX = -2
const ESCAPES = '"\\/bfnrtu'

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

export class JsonCursor {
  readonly kernels: TextKernels
  readonly bytes: Uint8Array
  /** address of the text in the shared memory, and of the byte behind it */
  readonly start: number
  readonly end: number
  /** the byte that comes next */
  at = 0

  constructor(kernels: TextKernels, bytes: Uint8Array) {
    this.kernels = kernels
    this.bytes = bytes
    this.start = bytes.byteOffset
    this.end = bytes.byteOffset + bytes.length
  }

  number(): void {
    const after = this.kernels.skipNumber(this.start + this.at)
    const { missing } = this.kernels
    const found = Math.min(missing > 0 ? missing : after, this.end) - this.start - this.at
    if (found > MOST_NUMBER) {
      throw new Stop({ position: this.at, pointer: '', message: LONG_NUMBER, tensor: false })
    }
    if (after > this.end || missing >= this.end) {
      // it has seen what stands behind the text
      const rest = latin1(this.bytes, this.at, this.bytes.length)
      if (!NUMBER.test(rest)) this.fail(this.bytes.length, 'a digit')
      this.at = this.bytes.length
      return
    }
    if (missing > 0) this.fail(missing - this.start, 'a digit')
    this.at = after - this.start
  }

  word(word: string): boolean {
    if (!matches(this.bytes, this.at, word)) return false
    this.at += word.length
    return true
  }

  /** Goes on within a string up to its end or to byte `most`; the byte that stands there. */
  skipPart(text: { at: number; longer: number }, most: number): number {
    const { kernels } = this
    const found = kernels.skipString(this.start + text.at, this.end, Math.min(this.start + most, this.end))
    const { escapes } = kernels
    text.at = found - this.start
    if (escapes === NO_ESCAPE) this.fail(text.at, `one of ${ESCAPES} behind the backslash`)
    if (escapes === NO_HEX) this.fail(text.at, 'four hexadecimal digits')
    text.longer += escapes
    return this.bytes[text.at]
  }

  /** Fails where a string has neither ended nor goes on. */
  unclosed(at: number): never {
    const ended = this.bytes[at] === undefined
    return this.fail(at, ended ? 'a closing quote' : 'a character, escaped where it is a control')
  }

  space(): void {
    if (isSpace(this.bytes[this.at]))
      this.at = this.kernels.skipSpace(this.start + this.at, this.end) - this.start
  }

  syntax(expected: string): never {
    return this.fail(this.at, expected)
  }

  fail(position: number, expected: string): never {
    const byte = this.bytes[position]
    const got =
      byte === undefined
        ? 'the end'
        : byte > 0x20 && byte < 0x7f
          ? JSON.stringify(String.fromCharCode(byte))
          : `byte 0x${byte.toString(16)}`
    throw new Stop({ position, pointer: '', message: `expected ${expected}, got ${got}`, tensor: false })
  }
}

export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

/** '0' … '9' are the bytes that differ from '0' in their last four bits alone, and there by at most 9. */
export function isDigit(byte: number): boolean {
  return (byte ^ ZERO) <= 9
}

export function isSpace(byte: number): boolean {
  return byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}

export function matches(bytes: Uint8Array, at: number, word: string): boolean {
  for (let index = 0; index < word.length; index++)
    if (bytes[at + index] !== word.charCodeAt(index)) return false
  return true
}
