import { describe, expect, it } from 'vitest'
import { expectDifferences, inner } from '../../../test/support/gradient-check.ts'
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
    const args = { rows, heads, positions, dim, dims, interleaved }
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
        const args = { rows: 1, heads: 1, positions: 1, dim, dims: dim, interleaved: false }
        ropeForward({ x, cos, sin, y }, args, 0, 1)
        return y
      })
      return inner(turned[0], turned[1])
    }
    expect(score(7, 3)).toBeCloseTo(score(1004, 1000), 10)
    expect(Math.abs(score(7, 3) - score(7, 5))).toBeGreaterThan(1e-6)
  })
})
