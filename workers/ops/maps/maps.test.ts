/** Chosen heads and thumbnails, against what their docstrings say. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../../../test/support/numbers.ts'
import { ranges } from '../../../test/support/ranges.ts'
import { poolMaps, quantiseMaps, takeHeads } from './kernel.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const cut = fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined })

it('takeHeads gives the chosen heads in their order, of any type', () => {
  const cases = fc.record({
    batch: size(1, 2, 3),
    heads: size(1, 3, 5),
    width: size(0, 1, 7),
    cut,
    picks: fc.array(fc.nat(4), { minLength: 1, maxLength: 4 }),
    wide: fc.boolean(),
  })
  fc.assert(
    fc.property(cases, ({ batch, heads, width, picks, wide, cut: seed }) => {
      const type = wide ? Float64Array : Float32Array
      const x = new type(batch * heads * width).map((_, index) => index)
      const chosen = picks.map(pick => pick % heads)
      const y = new type(batch * chosen.length * width).fill(Number.NaN)
      for (const [from, to] of ranges(batch * chosen.length, 1, seed)) {
        takeHeads({ x, y }, { batch, heads, chosen, width }, from, to)
      }
      const expected = Array.from({ length: batch }, (_, b) =>
        chosen.flatMap(head => Array.from({ length: width }, (_, i) => (b * heads + head) * width + i)),
      )
      expect(Array.from(y)).toEqual(expected.flat())
    }),
  )
})

describe('thumbnails', () => {
  const cases = fc.record({
    maps: size(1, 3),
    rows: size(1, 7, 17),
    columns: size(1, 5, 16),
    block: size(1, 2, 5, 20),
    cut,
    pool: fc.constantFrom('max' as const, 'mean' as const),
    signed: fc.boolean(),
    seed: fc.nat(),
    holes: fc.array(fc.nat(), { maxLength: 3 }),
  })

  it('pool every square, cut off at the edges', () => {
    fc.assert(
      fc.property(cases, ({ maps, rows, columns, block, pool, seed, holes, cut: cuts }) => {
        const x = Float32Array.from({ length: maps * rows * columns }, normalNumbers(seed))
        if (pool === 'max') for (const hole of holes) x[hole % x.length] = Number.NaN
        const [high, wide] = [Math.ceil(rows / block), Math.ceil(columns / block)]
        const y = new Float32Array(maps * high * wide).fill(Number.NaN)
        const args = { maps, rows, columns, block, pool }
        for (const [from, to] of ranges(maps * high, 1, cuts)) poolMaps({ x, y }, args, from, to)
        for (let at = 0; at < y.length; at++) {
          const [m, r, c] = [Math.floor(at / (high * wide)), Math.floor(at / wide) % high, at % wide]
          const square: number[] = []
          for (let i = r * block; i < Math.min(rows, (r + 1) * block); i++) {
            for (let j = c * block; j < Math.min(columns, (c + 1) * block); j++) {
              square.push(x[(m * rows + i) * columns + j])
            }
          }
          const mean = square.reduce((sum, value) => sum + value, 0) / square.length
          const magnitude = Math.max(0, ...square.filter(value => !Number.isNaN(value)).map(Math.abs))
          const largest = square.find(value => Math.abs(value) === magnitude) ?? 0
          if (pool === 'max') expect(y[at]).toBe(largest)
          else expect(y[at]).toBeCloseTo(mean, 5)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('are bytes that stand for the values to half a step', () => {
    fc.assert(
      fc.property(cases, ({ maps, rows: elements, signed, seed, cut: cuts }) => {
        const normal = normalNumbers(seed)
        const x = Float32Array.from({ length: maps * elements }, () =>
          signed ? normal() : Math.abs(normal()),
        )
        const y = new Uint8Array(x.length)
        const scale = new Float32Array(maps).fill(Number.NaN)
        for (const [from, to] of ranges(maps, 1, cuts)) {
          quantiseMaps({ x, y, scale }, { maps, elements, signed }, from, to)
        }
        for (let at = 0; at < x.length; at++) {
          const s = scale[Math.floor(at / elements)]
          const value = signed ? ((y[at] - 128) / 127) * s : (y[at] / 255) * s
          expect(Math.abs(value - x[at])).toBeLessThanOrEqual(((signed ? 0.5 / 127 : 0.5 / 255) + 1e-6) * s)
        }
        for (let m = 0; m < maps; m++) {
          const own = Array.from(x.subarray(m * elements, (m + 1) * elements), Math.abs)
          expect(scale[m]).toBe(Math.max(...own))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('take NaN for 0, clip what is infinite, and know a map of zeros', () => {
    const x = Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2, 0, 0, 0, 0)
    for (const [signed, zero, least, most] of [
      [true, 128, 1, 255],
      [false, 0, -255, 255],
    ] as const) {
      const y = new Uint8Array(8)
      const scale = new Float64Array(2)
      quantiseMaps({ x, y, scale }, { maps: 2, elements: 4, signed }, 0, 2)
      expect(Array.from(scale)).toEqual([2, 0])
      expect(Array.from(y)).toEqual([zero, most, least & 255, most, zero, zero, zero, zero])
    }
  })
})
