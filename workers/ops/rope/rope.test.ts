import { describe, expect, it } from 'vitest'
import { expectDifferences, inner } from '../../../test/support/differences.ts'
import { normalNumbers } from '../../../test/support/numbers.ts'
import { ropeTable } from '../tables/kernel.ts'
import { ropeBackward, ropeForward } from './reference.ts'

const normal = normalNumbers(5)
const random = (count: number) => Float64Array.from({ length: count }, normal)

describe('rope', () => {
  const [heads, positions, dim] = [2, 5, 8]
  const rows = heads * positions
  it.each([
    { interleaved: false, dims: 8 },
    { interleaved: true, dims: 8 },
    { interleaved: false, dims: 4 },
    { interleaved: true, dims: 6 },
  ])('interleaved $interleaved, dims $dims', ({ interleaved, dims }) => {
    const [cos, sin] = [new Float64Array((positions * dims) / 2), new Float64Array((positions * dims) / 2)]
    ropeTable({ cos, sin }, { positions, dims, base: 100, offset: 3, factor: 1.3 }, 0, positions)
    const args = { rows, heads, positions, alike: 1, dim, dims, interleaved }
    const x = random(rows * dim)
    const forward = (from: Float64Array) => {
      const y = new Float64Array(rows * dim)
      ropeForward({ x: from, cos, sin, y }, args, 0, rows)
      return y
    }
    const y = forward(x)
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < dims / 2; j++) {
        const angle = ((row % positions) + 3) * 100 ** ((-2 * j) / dims)
        const [first, second] = interleaved ? [2 * j, 2 * j + 1] : [j, j + dims / 2]
        const [x1, x2] = [x[row * dim + first], x[row * dim + second]]
        expect(y[row * dim + first]).toBeCloseTo(1.3 * (x1 * Math.cos(angle) - x2 * Math.sin(angle)), 12)
        expect(y[row * dim + second]).toBeCloseTo(1.3 * (x1 * Math.sin(angle) + x2 * Math.cos(angle)), 12)
      }
      for (let d = dims; d < dim; d++) expect(y[row * dim + d]).toBe(x[row * dim + d])
    }
    const gradY = random(rows * dim)
    const gradX = new Float64Array(rows * dim)
    ropeBackward({ gradY, cos, sin, gradX }, args, 0, rows)
    expectDifferences(forward, x, gradY, gradX)
  })

  it.each([true, false])('rows of the range are turned, and no others, interleaved %s', interleaved => {
    const args = { rows: 4, heads: 2, positions: 2, alike: 1, dim: 5, dims: 4, interleaved }
    // a quarter turn of the first pair, none of the second, at both positions
    const [cos, sin] = [Float64Array.of(0, 1, 0, 1), Float64Array.of(1, 0, 1, 0)]
    const x = Float64Array.from({ length: 20 }, (_, i) => i + 1)
    const y = new Float64Array(20).fill(-9)
    ropeForward({ x, cos, sin, y }, args, 1, 3)
    const turned = (at: number) =>
      interleaved
        ? [-x[at + 1], x[at], x[at + 2], x[at + 3], x[at + 4]]
        : [-x[at + 2], x[at + 1], x[at], x[at + 3], x[at + 4]]
    expect(Array.from(y)).toEqual([...Array(5).fill(-9), ...turned(5), ...turned(10), ...Array(5).fill(-9)])
  })

  it('scores depend on the distance alone', () => {
    const [q, k] = [random(dim), random(dim)]
    const score = (offsetQ: number, offsetK: number) => {
      const turned = [q, k].map((x, side) => {
        const [cos, sin, y] = [new Float64Array(dim / 2), new Float64Array(dim / 2), new Float64Array(dim)]
        ropeTable(
          { cos, sin },
          { positions: 1, dims: dim, base: 10000, offset: side === 0 ? offsetQ : offsetK, factor: 1 },
          0,
          1,
        )
        const args = { rows: 1, heads: 1, positions: 1, alike: 1, dim, dims: dim, interleaved: false }
        ropeForward({ x, cos, sin, y }, args, 0, 1)
        return y
      })
      return inner(turned[0], turned[1])
    }
    expect(score(7, 3)).toBeCloseTo(score(1004, 1000), 10)
    expect(Math.abs(score(7, 3) - score(7, 5))).toBeGreaterThan(1e-6)
  })
})
