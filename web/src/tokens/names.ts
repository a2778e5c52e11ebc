/** Tokens as people read them: by the text that they stand for, with a mark for each space. */
import { byteLevel, type ReadBytes, sentencePiece } from './bytes.ts'

/** In code points of the text. */
export type Span = readonly [start: number, end: number]

const MARKS: Record<string, string> = { ' ': '␣', '\n': '↵', '\r': '␍', '\t': '⇥' }

/** Put in by the tokenizer: it stands nowhere in the text. A space that was trimmed has its place, and no more. */
export function isSpecial([start, end]: Span = [0, 0]): boolean {
  return start === 0 && end === 0
}

/**
 * Of a vocabulary that writes bytes, the letters. Where several tokens share a letter each has the letter, and below it which part of it it
 * is. Tokens of other vocabularies, and special ones, are as they are.
 */
export function namesOf(text: string, tokens: readonly string[], spans: readonly Span[]): string[] {
  const letters = [...text]
  const textOf = (index: number) => letters.slice(...(spans[index] ?? [0, 0])).join('')
  const plain = [...tokens.keys()].filter(index => !isSpecial(spans[index]))
  const shows = (form: Form) => plain.some(index => form.shows(tokens[index]!, textOf(index)))
  const read = FORMS.find(shows)?.read
  if (read === undefined) return [...tokens]
  const names = [...tokens]
  const parts = new Parts(plain.map(index => spans[index]!))
  for (const index of plain) {
    const bytes = read(tokens[index]!)
    const numbered = parts.next(letters, spans[index]!)
    if (bytes !== undefined) names[index] = marked(decode(bytes) ?? partly(bytes, numbered))
  }
  return names
}

interface Form {
  read: ReadBytes
  /** whether a token that stands for that text tells that its vocabulary is written so */
  shows(token: string, text: string): boolean
}

const encoder = new TextEncoder()

const FORMS: Form[] = [
  {
    read: byteLevel,
    shows: (token, text) => {
      const bytes = token === text || !/[^\0-~]/.test(token) ? undefined : byteLevel(token)
      // spaces may have been trimmed off the place of the token
      const own = bytes?.slice(leading(bytes))
      return own !== undefined && [text, text.normalize()].some(each => contains(encoder.encode(each), own))
    },
  },
  { read: sentencePiece, shows: (token, text) => token !== text && /▁|^<0x[0-9A-F]{2}>$/.test(token) },
]

/** Which of the tokens that share a letter is which part of it. */
class Parts {
  readonly #counts = new Map<number, number>()
  readonly #seen = new Map<number, number>()

  constructor(spans: readonly Span[]) {
    for (const span of spans) for (const place of within(span)) count(this.#counts, place)
  }

  /** The letters of the next token. */
  next(letters: readonly string[], span: Span): string {
    const named = within(span).map(place => {
      const part = count(this.#seen, place)
      return this.#counts.get(place) === 1 ? letters[place] : `${letters[place]}${subscript(part)}`
    })
    return named.join('')
  }
}

function within([start, end]: Span): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, index) => start + index)
}

function count(counts: Map<number, number>, place: number): number {
  const next = (counts.get(place) ?? 0) + 1
  counts.set(place, next)
  return next
}

function subscript(part: number): string {
  return Array.from(String(part), digit => String.fromCharCode(0x2080 + Number(digit))).join('')
}

/** Undefined where they begin or end within a letter. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function partly(bytes: Uint8Array, letters: string): string {
  const text = letters.trimStart()
  return text === '' ? new TextDecoder().decode(bytes) : ' '.repeat(leading(bytes)) + text
}

function leading(bytes: Uint8Array): number {
  const first = bytes.findIndex(byte => byte !== 0x20)
  return first < 0 ? bytes.length : first
}

function contains(whole: Uint8Array, part: Uint8Array): boolean {
  return whole.some((_, at) => part.every((byte, index) => whole[at + index] === byte)) || part.length === 0
}

function marked(text: string): string {
  const shown = text.replace(/[ \n\r\t]/g, blank => MARKS[blank]!)
  // nothing else says that there is a token
  return /^[\p{Cc}\p{Cf}]+$/u.test(shown) ? Array.from(shown, codeOf).join('') : shown
}

function codeOf(letter: string): string {
  return `U+${letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`
}
