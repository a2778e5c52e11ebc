/** What is wrong where an array of numbers or booleans is not regular, or no such array. */
import { LONG_NUMBER, matches, OPEN_OBJECT, QUOTE } from './json-cursor.ts'
import type { NumbersPass, Outcome } from './text-kernels.ts'

/** How numbers begin that JSON does not have. */
export const [NAN, INFINITY] = ['N', 'I'].map(letter => letter.charCodeAt(0))

/** Numbers that JSON has no digits for. */
export const NUMBER_WORDS = ['NaN', 'Infinity', '-Infinity']

/** What some programs write for such a number, which JSON does not have; undefined where that is not what stands there. */
export function bareNumber(bytes: Uint8Array, at: number): string | undefined {
  const word = NUMBER_WORDS.find(word => matches(bytes, at, word))
  return word && `expected a JSON value, got ${word} without quotes: it is written "${word}"`
}

/** Either the grammar is broken, or the text is JSON and what stands at `place` in the array is wrong. */
export type NumbersFault = { syntax: string } | { message: string; place: number[] }

/** Of a pass over `bytes` that has ended with a fault. */
export function numbersFault(outcome: Outcome, pass: NumbersPass, bytes: Uint8Array): NumbersFault {
  const wanted = pass.element ?? 'number'
  const { place } = pass
  switch (outcome) {
    case 'no digit': {
      const message = bareNumber(bytes, pass.at - 1)
      return message === undefined ? { syntax: 'a digit' } : { message, place }
    }
    case 'no value':
      return { syntax: 'a value' }
    case 'no separator':
      return { syntax: '"," or "]"' }
    case 'too deep':
      return { message: 'expected at most 8 axes, got more', place }
    case 'array':
      return { message: `expected a ${wanted}, got an array`, place }
    case 'empty':
      return { message: 'expected an array, got an empty one', place: place.slice(0, -1) }
    case 'leaf':
      return { message: `expected an array, got a ${wanted}`, place }
    case 'mixed':
      return { message: `expected a ${wanted}, got a ${wanted === 'number' ? 'boolean' : 'number'}`, place }
    case 'ragged': {
      const { wanted: members, found } = pass.ragged
      return { message: `expected ${members} elements as in the first, got ${found}`, place }
    }
    case 'long':
      return { message: LONG_NUMBER, place }
    default:
      return noLeaf(wanted, place, bytes, pass.at)
  }
}

/** What stands where a number or boolean should. */
function noLeaf(wanted: string, place: number[], bytes: Uint8Array, at: number): NumbersFault {
  if (bytes[at] === QUOTE) {
    const words = NUMBER_WORDS.join(', ')
    return { message: `expected a ${wanted} or one of ${words}, got another string`, place }
  }
  if (bytes[at] === OPEN_OBJECT) return { message: `expected a ${wanted}, got an object`, place }
  if (matches(bytes, at, 'null')) return { message: `expected a ${wanted}, got null`, place }
  const message = bareNumber(bytes, at)
  return message === undefined ? { syntax: 'a number' } : { message, place }
}
