import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RUNNERS } from '../../../test/support/op-runner.ts'
import { bucketsCase, lshSpecs } from './cases.ts'
import { lshBuckets } from './reference.ts'

const [truth, , ...variants] = RUNNERS

describe.each(variants)('$name kernels', ({ run }) => {
  it('hash into the same buckets, all of which there are', () => {
    fc.assert(
      fc.property(lshSpecs, spec => {
        const c = bucketsCase(spec)
        const { buckets } = run(c, {}).outputs
        expect(buckets).toEqual(truth.run(c, {}).outputs.buckets)
        const all = spec.factors.reduce((product, factor) => product * factor, 1)
        expect(buckets.every(bucket => bucket >= 0 && bucket < all)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})

describe('the bucket of a row', () => {
  /** Where the rotation is the identity, the products are x itself. */
  const identity = (dim: number) =>
    Float64Array.from({ length: dim * dim }, (_, i) => (i % (dim + 1) === 0 ? 1 : 0))
  const hash = (x: number[], dim: number, factors: number[], rotations = identity(dim), rounds = 1) => {
    const rows = x.length / dim
    const buckets = new Int32Array(rounds * rows + 3).fill(-1)
    const args = { rows, dim, rounds, factors, seedLow: 0, seedHigh: 0 }
    lshBuckets({ x: Float64Array.from(x), rotations, buckets }, args, 0, rows)
    expect(Array.from(buckets.subarray(rounds * rows))).toEqual([-1, -1, -1])
    return Array.from(buckets.subarray(0, rounds * rows))
  }

  it.each([
    ['the first direction', [3, 1], 0],
    ['the second', [1, 3], 1],
    ['the opposite of the first', [-3, 1], 2],
    ['the opposite of the second', [1, -3], 3],
    ['the first of equals', [2, 2], 0],
    ['the first of equal opposites', [-2, -2], 2],
    ['the first, though it is as large as an opposite', [2, -2], 0],
    ['none, of a row of zeros', [0, 0], 0],
    ['none, of a row that is NaN', [Number.NaN, 1], 0],
  ])('is that of %s', (_name, x, bucket) => {
    expect(hash(x, 2, [4])).toEqual([bucket])
  })

  it('does not depend on how long the row is', () => {
    const x = [0.3, -0.2, 0.25]
    for (const length of [1e-100, 1, 1e100])
      expect(
        hash(
          x.map(value => value * length),
          3,
          [6],
        ),
      ).toEqual([0])
  })

  it('has a digit for each factor, the first one the highest', () => {
    // columns 0 and 1 make a digit of 4, column 2 makes one of 2
    expect(hash([1, 5, 1], 3, [4, 2])).toEqual([2 * 1 + 0])
    expect(hash([1, -5, -1], 3, [4, 2])).toEqual([2 * 3 + 1])
    // each looks at its own columns alone, however large the others
    expect(hash([1, 0, 5], 3, [4, 2])).toEqual([0])
    expect(hash([1, 0, 0, -1, 3, 2], 3, [2, 4])).toEqual([4 * 0 + 0, 4 * 1 + 0])
    expect(hash([-1, 3, -7], 3, [2, 4])).toEqual([4 * 1 + 3])
  })

  it('is the sum over all elements of the row, for every row and round', () => {
    // rounds [2], dim [3], columns [2]: the second round turns the other way
    const first = [1, 0, 0, 1, 1, -1]
    const rotations = Float64Array.from([...first, ...first.map(value => -value)])
    // products of the rows: (1 + 2, 4 − 2) = (3, 2), (2, 5) and (−9, 1)
    expect(hash([1, 4, 2, 2, 5, 0, -8, 0, -1], 3, [4], rotations, 2)).toEqual([0, 1, 2, 2, 3, 0])
  })

  it('is written for the rows of the range and no others', () => {
    const buckets = new Int32Array(4).fill(-1)
    const x = Float64Array.of(1, 0, -1, 0, 0, 1, 0, -1)
    const args = { rows: 4, dim: 2, rounds: 1, factors: [4], seedLow: 0, seedHigh: 0 }
    lshBuckets({ x, rotations: identity(2), buckets }, args, 1, 3)
    expect(Array.from(buckets)).toEqual([-1, 2, 1, -1])
  })
})
