/** JSON as some programs write it: NaN and infinities without quotes. They are put into quotes, as our JSON has them. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MINUS, matches, QUOTE } from '../../workers/text/json-cursor.ts'
import { INFINITY, NAN, NUMBER_WORDS } from '../../workers/text/numbers-fault.ts'

/** Bytes that are looked at in one turn of the event loop: about a millisecond. */
const SLICE = 256 * 1024
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
async function eachWord(text: Uint8Array, take: (start: number, end: number) => void): Promise<void> {
  let inString = false
  let pause = SLICE
  for (let at = 0; at < text.length; at++) {
    if (at >= pause) {
      pause = at + SLICE
      await nextTurn()
    }
    const byte = text[at]
    if (inString) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === NAN || byte === INFINITY) {
      const word = byte === NAN ? 'NaN' : 'Infinity'
      if (!matches(text, at, word)) continue
      const start = word === 'Infinity' && text[at - 1] === MINUS ? at - 1 : at
      take(start, at + word.length)
      at += word.length - 1
    }
  }
}
