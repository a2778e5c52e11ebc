/** The order of keys and rows: a row comes right behind the last key that it attends to. */
import type { Reals } from '../../define-op.ts'
import { RECURRENT_CHUNK, type RecurrentArgs } from '../op.ts'

export interface Sequences {
  intervals?: Int32Array
  qLengths?: Int32Array
  kvLengths?: Int32Array
}

export interface Sequence {
  /** rows and keys that are no padding */
  live: number
  seen: number
  /** how many keys row i attends to; padding comes behind all keys */
  to(i: number): number
  /** the events of a chunk in their order: row i as i, key j as −1 − j */
  events(chunk: number): number[]
}

/** Those of batch element b. */
export function sequenceOf(t: Sequences, a: RecurrentArgs, b: number): Sequence {
  const live = Math.min(a.queries, t.qLengths?.[b] ?? a.queries)
  const seen = Math.min(a.keys, t.kvLengths?.[b] ?? a.keys)
  const first = b * a.intervalStrides[0]
  const to = (i: number) => (i < live ? (t.intervals?.[2 * (first + i) + 1] ?? a.keys) : a.keys)
  const events = (chunk: number) => {
    const begin = chunk * RECURRENT_CHUNK
    const end = Math.min(begin + RECURRENT_CHUNK, a.queries + a.keys)
    let i = 0
    while (i < a.queries && i + to(i) < begin) i++
    const found: number[] = []
    for (let event = begin; event < end; event++) {
      // before this event there have been i rows and event − i keys
      if (i < a.queries && to(i) <= event - i) found.push(i++)
      else found.push(-1 - (event - i))
    }
    return found
  }
  return { live, seen, to, events }
}

export interface Gates {
  factors?: Reals
  beta?: Reals
}

/** Where what a key has stands; `key` counts through [batch, kvHeads, keys]. */
export function gatesOf({ factors, beta }: Gates, a: RecurrentArgs, b: number, h: number) {
  const { keys, kvHeads, decayDims, betaHeads } = a
  /** index of the factor of key j in dimension d */
  const decayAt = (j: number, d: number) =>
    ((b * keys + j) * kvHeads + h) * decayDims + (decayDims === 1 ? 0 : d)
  const factor = (j: number, d: number) => factors?.[decayAt(j, d)] ?? 1
  const rate = (j: number) => beta?.[(b * keys + j) * betaHeads + (betaHeads === 1 ? 0 : h)] ?? 1
  return { decayAt, factor, rate }
}
