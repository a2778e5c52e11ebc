import { describe, expect, it } from 'vitest'
import { expectDifferences, inner } from '../../../test/support/differences.ts'
import { normalNumbers } from '../../../test/support/numbers.ts'
import { qkNormBackward, qkNormForward } from './reference.ts'

const normal = normalNumbers(5)
const random = (count: number, scale = 1) => Float64Array.from({ length: count }, () => scale * normal())

describe('qk-norm', () => {
  const [rows, dim] = [5, 7]
  it.each([
    { kind: 'l2' as const, eps: 1e-12, scale: 1 },
    { kind: 'l2' as const, eps: 50, scale: 1 },
    { kind: 'rms' as const, eps: 1e-6, scale: 1 },
    { kind: 'rms' as const, eps: 0.5, scale: 0.3 },
    { kind: 'rms' as const, eps: 4, scale: 1 },
  ])('$kind, eps $eps', ({ kind, eps, scale }) => {
    const args = { rows, dim, kind, eps }
    const x = random(rows * dim, scale)
    const forward = (from: Float64Array) => {
      const y = new Float64Array(rows * dim)
      qkNormForward({ x: from, y }, args, 0, rows)
      return y
    }
    const y = forward(x)
    for (let row = 0; row < rows; row++) {
      const squares = inner(x.slice(row * dim, (row + 1) * dim), x.slice(row * dim, (row + 1) * dim))
      const divisor = kind === 'l2' ? Math.max(Math.sqrt(squares), eps) : Math.sqrt(squares / dim + eps)
      for (let d = 0; d < dim; d++) expect(y[row * dim + d]).toBeCloseTo(x[row * dim + d] / divisor, 12)
    }
    const gradY = random(rows * dim)
    const gradX = new Float64Array(rows * dim)
    qkNormBackward({ x, gradY, gradX }, args, 0, rows)
    expectDifferences(forward, x, gradY, gradX)
  })

  it('a row that nobody read has no gradient, whatever stands in it', () => {
    const x = Float64Array.of(Number.NaN, 1)
    const gradX = random(2)
    qkNormBackward(
      { x, gradY: new Float64Array(2), gradX },
      { rows: 1, dim: 2, kind: 'l2', eps: 1e-12 },
      0,
      1,
    )
    expect(Array.from(gradX)).toEqual([0, 0])
  })

  it('a row no longer than eps is divided by a constant', () => {
    const x = Float64Array.of(3, 4, 3, 4.1)
    const [gradX, gradY] = [new Float64Array(4), Float64Array.of(1, 2, 1, 2)]
    qkNormBackward({ x, gradY, gradX }, { rows: 2, dim: 2, kind: 'l2', eps: 5 }, 0, 2)
    expect(Array.from(gradX.subarray(0, 2))).toEqual([1 / 5, 2 / 5])
    // a longer one keeps its direction: its gradient is across it
    expect(3 * gradX[2] + 4.1 * gradX[3]).toBeCloseTo(0, 12)
  })

  it.each(['l2', 'rms'] as const)('%s: rows of the range are written, and no others', kind => {
    const args = { rows: 4, dim: 2, kind, eps: 1e-12 }
    const x = Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8)
    const [y, gradX] = [new Float64Array(8).fill(9), new Float64Array(8).fill(9)]
    qkNormForward({ x, y }, args, 1, 3)
    qkNormBackward({ x, gradY: Float64Array.of(0, 0, 0, 0, 1, 0, 0, 1), gradX }, args, 1, 3)
    for (const written of [y, gradX]) {
      expect(Array.from(written, value => value !== 9)).toEqual([0, 0, 1, 1, 1, 1, 0, 0].map(Boolean))
    }
  })

  it('does not overflow', () => {
    const y = new Float32Array(2)
    qkNormForward({ x: Float32Array.of(3e38, 3e38), y }, { rows: 1, dim: 2, kind: 'l2', eps: 1e-12 }, 0, 1)
    expect(y[0]).toBeCloseTo(Math.SQRT1_2, 6)
  })
})
