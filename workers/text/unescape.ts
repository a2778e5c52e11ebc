/** Text with JSON escapes that a scan has found right, a part at a time: what it stands for is never in memory as a whole. */
import { latin1 } from './json-cursor.ts'

const BACKSLASH = 0x5c
const LETTER_U = 0x75
/** What `\b`, `\f`, `\n`, `\r` and `\t` stand for is told by none of these. */
const THEMSELVES = [0x22, 0x5c, 0x2f]

export interface EscapedText {
  /** the bytes between the quotes */
  start: number
  end: number
  /** [byte, character] pairs, flattened, ascending: places at which reading may begin, beside the start */
  marks: number[]
}

/**
 * At most `most` characters from `first` on; what is neither ASCII nor written as such is the character 0, for nobody asks for
 * more than that it is none of base64.
 */
export function unescaped(bytes: Uint8Array, text: EscapedText, first: number, most: number): string {
  let [at, index] = markBefore(text, first)
  const found = Buffer.allocUnsafe(most)
  let length = 0
  while (at < text.end && length < most) {
    const byte = bytes[at]
    const isEscape = byte === BACKSLASH
    const character = isEscape ? standsFor(bytes, at) : byte
    at += !isEscape ? 1 : bytes[at + 1] === LETTER_U ? 6 : 2
    if (index++ >= first) found[length++] = character
  }
  return found.toString('latin1', 0, length)
}

/** The last place up to character `first` at which reading may begin. */
function markBefore({ start, marks }: EscapedText, first: number): [byte: number, character: number] {
  let low = 0
  let high = marks.length / 2
  while (low < high) {
    const middle = (low + high) >> 1
    if (marks[2 * middle + 1] <= first) low = middle + 1
    else high = middle
  }
  return low === 0 ? [start, 0] : [marks[2 * low - 2], marks[2 * low - 1]]
}

/** What the escape at a byte stands for. */
function standsFor(bytes: Uint8Array, at: number): number {
  const letter = bytes[at + 1]
  if (letter !== LETTER_U) return THEMSELVES.includes(letter) ? letter : 0
  const code = Number.parseInt(latin1(bytes, at + 2, at + 6), 16)
  return code < 0x80 ? code : 0
}
