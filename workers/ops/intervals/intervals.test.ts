/** Intervals against the rules of the masks, asked pair by pair. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { intervals } from './kernel.ts'
import { evaluate, intervalOf, type RowExpr, type RowMask } from './op.ts'

const row = { i: 3, aligned: 5, queries: 7, keys: 9, prefix: 4 }

describe('expressions', () => {
  it.each<[RowExpr, number]>([
    [4, 4],
    ['i', 3],
    ['aligned', 5],
    ['queries', 7],
    ['keys', 9],
    ['prefix', 4],
    [['+', 'aligned', 1], 6],
    [['-', 'i', ['-', 'keys', 'queries']], 1],
    [['min', 'i', 'keys'], 3],
    [['max', 'i', 'keys'], 9],
    [['floorTo', 'aligned', 4], 4],
    [['floorTo', -1, 4], -4],
  ])('%j is %i', (expr, value) => {
    expect(evaluate(expr, row)).toBe(value)
  })
})

describe('the keys of a row', () => {
  it('are all of them without a mask', () => {
    expect(intervalOf([], row, 9)).toEqual([0, 9])
  })

  it('are those that every mask allows', () => {
    expect(intervalOf([{ lo: 2 }, { hi: 6 }, { lo: 4, hi: 8 }], row, 9)).toEqual([4, 6])
  })

  it('never leave [0, keys)', () => {
    expect(intervalOf([{ lo: -3, hi: 20 }], row, 9)).toEqual([0, 9])
    expect(intervalOf([{ lo: 20, hi: 30 }], row, 9)).toEqual([9, 9])
    expect(intervalOf([{ hi: -2 }], row, 9)).toEqual([0, 0])
  })

  it('stand behind the last key in rows that are padding', () => {
    expect(intervalOf([{ live: 3 }, { hi: 2 }], row, 9)).toEqual([9, 9])
    expect(intervalOf([{ live: 4 }], row, 9)).toEqual([0, 9])
  })
})

describe('the kernel', () => {
  const spec = fc.record({
    batch: fc.constantFrom(1, 2, 3),
    queries: fc.integer({ min: 1, max: 40 }),
    keys: fc.integer({ min: 1, max: 40 }),
    shift: fc.integer({ min: -20, max: 20 }),
    causal: fc.boolean(),
    left: fc.option(fc.nat(20), { nil: undefined }),
    right: fc.option(fc.nat(20), { nil: undefined }),
    prefixes: fc.option(fc.array(fc.nat(), { minLength: 3, maxLength: 3 }), { nil: undefined }),
    block: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
    lengths: fc.option(fc.array(fc.nat(), { minLength: 6, maxLength: 6 }), { nil: undefined }),
    cut: fc.nat(),
  })

  it('writes what the rules say of every pair, whatever the cut', () => {
    fc.assert(
      fc.property(
        spec,
        ({ batch, queries, keys, shift, causal, left, right, block, prefixes, lengths, cut }) => {
          const masks: RowMask[] = [{ live: 'queries', hi: 'keys' }]
          if (causal) masks.push({ hi: ['max', ['+', 'aligned', 1], 'prefix'] })
          if (left !== undefined) masks.push({ lo: ['-', 'aligned', left] })
          if (right !== undefined) masks.push({ hi: ['+', 'aligned', right + 1] })
          if (block !== undefined) {
            const begin = ['floorTo', 'aligned', block] as const
            masks.push({ lo: begin, hi: ['+', begin, block] })
          }
          const lengthsOf = (first: number, most: number) =>
            lengths && Int32Array.from({ length: batch }, (_, b) => lengths[first + b] % (most + 1))
          const qLengths = lengthsOf(0, queries)
          const kvLengths = lengthsOf(3, keys)
          const prefixLengths =
            prefixes && Int32Array.from({ length: batch }, (_, b) => prefixes[b] % (keys + 1))
          const found = new Int32Array(2 * batch * queries + 2).fill(-7)
          const tensors = { qLengths, kvLengths, prefixLengths, intervals: found }
          const args = { batch, queries, keys, shift, masks }
          const middle = cut % (batch + 1)
          intervals(tensors, args, 0, middle)
          // nothing of the units that are another's
          expect(found.subarray(2 * middle * queries).every(value => value === -7)).toBe(true)
          intervals(tensors, args, middle, batch)
          expect(found[2 * batch * queries]).toBe(-7)
          for (let b = 0; b < batch; b++) {
            for (let i = 0; i < queries; i++) {
              const at = i + shift
              for (let j = 0; j < keys; j++) {
                const attended =
                  i < (qLengths?.[b] ?? queries) &&
                  j < (kvLengths?.[b] ?? keys) &&
                  (!causal || j <= at || j < (prefixLengths?.[b] ?? 0)) &&
                  (left === undefined || j >= at - left) &&
                  (right === undefined || j <= at + right) &&
                  (block === undefined || Math.floor(at / block) === Math.floor(j / block))
                const [lo, hi] = found.slice(2 * (b * queries + i))
                expect(j >= lo && j < hi, `row ${i}, key ${j}`).toBe(attended)
              }
            }
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it.each<[string, RowMask]>([
    ['lo', { lo: ['-', 9, 'i'] }],
    ['hi', { hi: ['-', 9, 'i'] }],
    ['lo alone, before an end that stays', { lo: ['-', 5, 'i'], hi: 7 }],
  ])('refuses masks whose intervals go back: %s', (_name, mask) => {
    const args = { batch: 1, queries: 3, keys: 9, shift: 0, masks: [mask] }
    expect(() => intervals({ intervals: new Int32Array(6) }, args, 0, 1)).toThrow(
      'the keys of row 1 begin or end before those of row 0',
    )
  })

  it('takes batch elements one by one: what goes back between them goes on', () => {
    const args = { batch: 2, queries: 2, keys: 4, shift: 0, masks: [{ hi: ['+', 'aligned', 1] as const }] }
    const found = new Int32Array(8)
    intervals({ intervals: found }, args, 0, 2)
    expect([...found]).toEqual([0, 1, 0, 2, 0, 1, 0, 2])
  })
})
