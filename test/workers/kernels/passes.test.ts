/** The float32 kernels around attention in passes do what the plain ones do, to the last bit. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lshBuckets, lshRotations } from '../../../workers/kernels/elementwise/lsh.ts'
import { gatherRows, sumParts } from '../../../workers/kernels/elementwise/parts.ts'
import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../../../workers/kernels/simd/index.ts'
import { wasmMemory } from '../../support/wasm-memory.ts'
import { normalNumbers, uniformNumbers } from './attention-case.ts'

const wasm = wasmMemory(32)
const VARIANTS = (Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(name => {
  return { name, kernels: createSimdKernels(wasm.memory, name) }
})

function filled(length: number, next: () => number): Float32Array {
  const view = wasm.allocate('float32', length)
  for (let i = 0; i < length; i++) view[i] = next()
  return view
}

/** A permutation of `rows` for each of `heads`. */
function orders(heads: number, rows: number, seed: number): Int32Array {
  const uniform = uniformNumbers(seed)
  const into = wasm.allocate('int32', heads * rows)
  for (let head = 0; head < heads; head++) {
    const order = Array.from({ length: rows }, (_, i) => ({ i, key: uniform() }))
    order.sort((a, b) => a.key - b.key)
    into.set(
      order.map(({ i }) => i),
      head * rows,
    )
  }
  return into
}

describe.each(VARIANTS)('$name kernels', ({ kernels }) => {
  it('hash into the same buckets, whatever the cut', () => {
    const cases = fc.record({
      rows: fc.constantFrom(1, 7, 20),
      dim: fc.constantFrom(1, 3, 8, 33),
      rounds: fc.constantFrom(1, 3),
      factors: fc.constantFrom<number[]>([2], [6], [64], [6, 12], [16, 32], [2, 130]),
      seed: fc.nat(),
      bad: fc.boolean(),
    })
    fc.assert(
      fc.property(cases, ({ rows, dim, rounds, factors, seed, bad }) => {
        wasm.reset()
        const columns = factors.reduce((sum, factor) => sum + factor / 2, 0)
        const args = { rows, dim, rounds, factors, seedLow: seed, seedHigh: 3 }
        const rotations = wasm.allocate('float64', rounds * dim * columns)
        lshRotations({ rotations }, args, 0, rounds * columns)
        const x = filled(rows * dim, normalNumbers(seed))
        if (bad) x[seed % x.length] = Number.NaN
        const expected = new Int32Array(rounds * rows)
        lshBuckets({ x, rotations, buckets: expected }, args, 0, rows)
        const buckets = wasm.allocate('int32', rounds * rows)
        const scratch = wasm.scratch(columns * 8)
        const middle = rows >> 1
        kernels.lshBuckets({ x, rotations, buckets }, args, 0, middle, scratch)
        kernels.lshBuckets({ x, rotations, buckets }, args, middle, rows, scratch)
        expect(buckets).toEqual(expected)
        const all = factors.reduce((product, factor) => product * factor, 1)
        expect(expected.every(bucket => bucket >= 0 && bucket < all)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })

  it('gather rows, of either type, and add parts up', () => {
    const cases = fc.record({
      parts: fc.constantFrom(1, 3),
      heads: fc.constantFrom(1, 2),
      rows: fc.constantFrom(1, 5, 17),
      dim: fc.constantFrom(1, 3, 4, 11, 16, 35),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(cases, ({ parts, heads, rows, dim, seed }) => {
        wasm.reset()
        const args = { parts, heads, rows, dim }
        const all = parts * heads * rows
        const order = orders(parts * heads, rows, seed)
        const x = filled(heads * rows * dim, normalNumbers(seed))
        const doubles = wasm.allocate('float64', heads * rows * dim)
        doubles.set(x)
        for (const [source, type] of [
          [x, 'float32'],
          [doubles, 'float64'],
        ] as const) {
          const y = wasm.allocate(type, all * dim)
          kernels.gatherRows({ x: source, order, y }, args, 0, all)
          const expected = type === 'float32' ? new Float32Array(all * dim) : new Float64Array(all * dim)
          gatherRows({ x: source, order, y: expected }, args, 0, all)
          expect(y).toEqual(expected)
        }
        const some = filled(all * dim, normalNumbers(seed + 1))
        const y = wasm.allocate('float32', heads * rows * dim)
        kernels.sumParts({ parts: some, ranks: order, y }, args, 0, heads * rows)
        const expected = new Float32Array(heads * rows * dim)
        sumParts({ parts: some, ranks: order, y: expected }, args, 0, heads * rows)
        expect(y).toEqual(expected)
      }),
      { numRuns: 80 },
    )
  })
})
