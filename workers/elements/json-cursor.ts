/** Steps over the tokens of JSON text (RFC 8259, strictly), a byte at a time, and says what is wrong where one is not. */

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
export const DOT = 0x2e
export const ZERO = 0x30
export const COLON = 0x3a
export const OPEN = 0x5b
export const BACKSLASH = 0x5c
export const CLOSE = 0x5d
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d

export class JsonCursor {
  readonly bytes: Uint8Array
  /** the byte that comes next */
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  number(): void {
    const bytes = this.bytes
    let at = this.at
    if (bytes[at] === MINUS) at++
    if (bytes[at] === ZERO) at++
    else if (isDigit(bytes[at])) at = digits(bytes, at)
    else this.fail(at, 'a digit')
    if (bytes[at] === DOT) {
      if (!isDigit(bytes[at + 1])) this.fail(at + 1, 'a digit')
      at = digits(bytes, at + 1)
    }
    if ((bytes[at] | 0x20) === 0x65) {
      at++
      if (bytes[at] === MINUS || bytes[at] === 0x2b) at++
      if (!isDigit(bytes[at])) this.fail(at, 'a digit')
      at = digits(bytes, at)
    }
    this.at = at
  }

  /** Steps over a string; says whether it has backslashes. */
  skipString(): boolean {
    const bytes = this.bytes
    let at = this.at + 1
    let escaped = false
    for (;;) {
      const byte = bytes[at]
      if (byte === QUOTE) break
      if (byte === BACKSLASH) {
        escaped = true
        at++
      }
      if (!(bytes[at] >= 0x20))
        this.fail(at, at < bytes.length ? 'a character, escaped where it is a control' : 'a closing quote')
      at++
    }
    this.at = at + 1
    return escaped
  }

  word(word: string): boolean {
    if (!matches(this.bytes, this.at, word)) return false
    this.at += word.length
    return true
  }

  space(): void {
    while (isSpace(this.bytes[this.at])) this.at++
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

function digits(bytes: Uint8Array, from: number): number {
  let at = from
  while (isDigit(bytes[at])) at++
  return at
}

export function isSpace(byte: number): boolean {
  return byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}

export function matches(bytes: Uint8Array, at: number, word: string): boolean {
  for (let index = 0; index < word.length; index++)
    if (bytes[at + index] !== word.charCodeAt(index)) return false
  return true
}
