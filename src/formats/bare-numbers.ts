/** JSON as some programs write it: NaN and infinities without quotes. They are put into quotes, as our JSON has them. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MINUS, matches, QUOTE } from '../../workers/text/json-cursor.ts'
import { INFINITY, NAN, NUMBER_WORDS } from '../../workers/text/numbers-fault.ts'

/** Bytes that are looked at in one turn of the event loop. */
const SLICE = 1 << 20
const BACKSLASH = 0x5c

/** Is a bare word what stands at `position`, where a scan has ended, or with its sign just before it? */
export function isBareNumber(text: Uint8Array, position: number): boolean {
  const at = text[position - 1] === MINUS ? position - 1 : position
  return NUMBER_WORDS.some(word => matches(text, at, word))
}

/** The text with every bare word in quotes. `room` gives the bytes that it goes into. */
export async function quoteBareNumbers(
  text: Uint8Array,
  room: (bytes: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  let count = 0
  await eachWord(text, () => count++)
  const quoted = await room(text.length + 2 * count)
  let from = 0
  let to = 0
  const copy = (end: number) => {
    quoted.set(text.subarray(from, end), to)
    to += end - from
    from = end
  }
  await eachWord(text, (start, end) => {
    copy(start)
    quoted[to++] = QUOTE
    copy(end)
    quoted[to++] = QUOTE
  })
  copy(text.length)
  return quoted
}

/** Of those outside of strings, in their order. */
async function eachWord(bytes: Uint8Array, take: (start: number, end: number) => void): Promise<void> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  for (let begin = 0; begin < text.length; begin += SLICE) {
    if (begin > 0) await nextTurn()
    const slice = text.subarray(begin, begin + SLICE)
    const next = [QUOTE, NAN, INFINITY].map(byte => new Finder(slice, byte))
    for (;;) {
      const [quote, nan, infinity] = next.map(each => begin + each.from(Math.max(0, at - begin)))
      const found = Math.min(quote, nan, infinity)
      if (found >= begin + slice.length) break
      at = found === quote ? afterString(text, quote) : found + 1
      const word = found === nan ? 'NaN' : 'Infinity'
      if (found === quote || !matches(text, found, word)) continue
      const start = found === infinity && text[found - 1] === MINUS ? found - 1 : found
      at = found + word.length
      take(start, at)
    }
  }
}

/** The first of a byte from a place on, which only moves forward. */
class Finder {
  readonly #bytes: Buffer
  readonly #byte: number
  #found = -1

  constructor(bytes: Buffer, byte: number) {
    this.#bytes = bytes
    this.#byte = byte
  }

  /** Where there is none: beyond the last. */
  from(at: number): number {
    if (this.#found >= at) return this.#found
    const found = at >= this.#bytes.length ? -1 : this.#bytes.indexOf(this.#byte, at)
    this.#found = found < 0 ? Number.POSITIVE_INFINITY : found
    return this.#found
  }
}

/** Behind the quote that closes what another at `at` opens. */
function afterString(text: Buffer, at: number): number {
  for (let close = at + 1; ; close++) {
    close = text.indexOf(QUOTE, close)
    if (close < 0) return text.length
    let escapes = 0
    while (text[close - 1 - escapes] === BACKSLASH) escapes++
    if (escapes % 2 === 0) return close + 1
  }
}
