/** Intervals of segments against ids compared pair by pair. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { segmentIntervals } from './segments.ts'

function found(qIds: number[], kvIds: number[], masked?: [number, number][]) {
  const [queries, keys] = [qIds.length, kvIds.length]
  const t = {
    qSegments: Int32Array.from(qIds),
    kvSegments: Int32Array.from(kvIds),
    masked: masked && Int32Array.from(masked.flat()),
    intervals: new Int32Array(2 * queries).fill(-7),
    mixed: new Int32Array(1).fill(-7),
  }
  segmentIntervals(t, { batch: 1, queries, keys, maskedStride: 0 }, 0, 1)
  const intervals = qIds.map((_, i) => [t.intervals[2 * i], t.intervals[2 * i + 1]])
  return { intervals, mixed: t.mixed[0] }
}

describe('are not mixed', () => {
  it.each<[string, number[], number[], number[][]]>([
    [
      'runs in the same order',
      [5, 5, 2],
      [5, 2, 2],
      [
        [0, 1],
        [0, 1],
        [1, 3],
      ],
    ],
    [
      'padding behind',
      [0, 1, -1],
      [0, 0, 1, -1],
      [
        [0, 2],
        [2, 3],
        [3, 3],
      ],
    ],
    [
      'padding between, on both sides',
      [0, -1, 1],
      [0, -1, 1],
      [
        [0, 1],
        [1, 1],
        [2, 3],
      ],
    ],
    [
      'a row without keys',
      [0, 9, 1],
      [0, 1],
      [
        [0, 1],
        [1, 1],
        [1, 2],
      ],
    ],
    [
      'keys without a row',
      [0, 1],
      [0, 9, 9, 1],
      [
        [0, 1],
        [3, 4],
      ],
    ],
    [
      'padding alone',
      [-1, -2],
      [-1, -2],
      [
        [0, 0],
        [0, 0],
      ],
    ],
  ])('%s', (_name, q, kv, intervals) => {
    const { intervals: got, mixed } = found(q, kv)
    expect(mixed).toBe(0)
    expect(got).toEqual(intervals)
  })
})

describe('are mixed', () => {
  it.each<[string, number[], number[]]>([
    ['a segment that is interrupted', [0], [0, 1, 0]],
    ['another order', [0, 1], [1, 0]],
    ['padding within a segment', [0, -1, 0], [0, 0]],
    ['padding between keys of a segment', [0], [0, -1, 0]],
    ['a row without keys within a segment', [0, 5, 0], [0, 0]],
  ])('%s', (_name, q, kv) => {
    expect(found(q, kv).mixed).toBe(1)
  })
})

it('hold every key of the row’s segment and never go back; not mixed, no other one', () => {
  const ids = fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 1, maxLength: 9 })
  const sorted = ids.map(drawn => drawn.toSorted((a, b) => a - b))
  const pairs = fc.oneof(fc.tuple(ids, ids), fc.tuple(sorted, sorted))
  let exact = 0
  fc.assert(
    fc.property(pairs, fc.nat(9), ([q, kv], most) => {
      const end = Math.min(most, kv.length)
      const { intervals, mixed } = found(
        q,
        kv,
        q.map(() => [0, end]),
      )
      if (mixed === 0) exact++
      for (const [i, [lo, hi]] of intervals.entries()) {
        for (const [j, id] of kv.entries()) {
          const attended = q[i] >= 0 && q[i] === id && j < end
          const within = j >= lo && j < hi
          if (attended || mixed === 0) expect(within, `row ${i}, key ${j}`).toBe(attended)
        }
        if (i === 0) continue
        expect(lo).toBeGreaterThanOrEqual(intervals[i - 1][0])
        expect(hi).toBeGreaterThanOrEqual(intervals[i - 1][1])
      }
    }),
    { numRuns: 2000 },
  )
  expect(exact).toBeGreaterThan(200)
})
