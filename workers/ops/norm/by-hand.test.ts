/** Norms of rows that can be worked out by hand, and their gradients unit by unit. */
import { describe, expect, it } from 'vitest'
import { expectClose, expectDifferences } from '../../../test/support/differences.ts'
import { inUnits } from '../../../test/support/in-units.ts'
import { normalNumbers } from '../../../test/support/numbers.ts'
import { NORM_ROWS, type NormArgs, normBackward } from './op.ts'
import * as reference from './reference.ts'

const normal = normalNumbers(3)
const random = (length: number) => Float64Array.from({ length }, () => 1 + normal())

function forward(x: Float64Array, args: Omit<NormArgs, 'rows'>, more: object = {}): Float64Array {
  const rows = x.length / args.dim
  return inUnits(x.length, rows, (y, row) =>
    reference.normForward({ x, y, ...more }, { ...args, rows }, row, row + 1),
  )
}

describe('a row', () => {
  // of mean 3 and deviations −2, −1, 0, 3, whose squares have the mean 3.5
  const x = Float64Array.of(1, 2, 3, 6)
  const layer = { kind: 'layer', dim: 4, eps: 0 } as const

  it('less its mean, over its deviation', () => {
    const r = Math.sqrt(3.5)
    expectClose(forward(x, layer), [-2 / r, -1 / r, 0, 3 / r])
  })

  it('over its root mean square, not less its mean', () => {
    const r = Math.sqrt((1 + 4 + 9 + 36) / 4)
    expectClose(forward(x, { ...layer, kind: 'rms' }), [1 / r, 2 / r, 3 / r, 6 / r])
  })

  it('with eps beside the mean square, before the root', () => {
    expectClose(forward(Float64Array.of(1, -1), { kind: 'layer', dim: 2, eps: 3 }), [0.5, -0.5])
    expectClose(forward(Float64Array.of(1, 1), { kind: 'rms', dim: 2, eps: 3 }), [0.5, 0.5])
    expectClose(forward(Float64Array.of(0, 0), { kind: 'rms', dim: 2, eps: 1e-6 }), [0, 0])
  })

  it('times its gain, and its offset beside, either or both', () => {
    const [gamma, beta] = [Float64Array.of(1, 2, -3, 4), Float64Array.of(10, 20, 30, 40)]
    const unit = forward(x, layer)
    const scaled = unit.map((value, d) => value * gamma[d])
    expectClose(forward(x, layer, { gamma }), scaled)
    expectClose(
      forward(x, layer, { beta }),
      unit.map((value, d) => value + beta[d]),
    )
    expectClose(
      forward(x, layer, { gamma, beta }),
      scaled.map((value, d) => value + beta[d]),
    )
  })

  it('is its own, whatever the rows around it hold', () => {
    const rows = Float64Array.of(...x, Number.NaN, 1, 1, 1, ...x.map(value => -value))
    const y = new Float64Array(12).fill(7)
    reference.normForward({ x: rows, y }, { ...layer, rows: 3 }, 2, 3)
    expect(Array.from(y.subarray(0, 8))).toEqual(Array(8).fill(7))
    expectClose(
      y.subarray(8),
      forward(x, layer).map(value => -value),
    )
  })

  it('of the largest numbers does not overflow', () => {
    expectClose(forward(Float64Array.of(1e300, 1e300), { kind: 'rms', dim: 2, eps: 1e-6 }), [1, 1])
  })
})

describe.each(['layer', 'rms'] as const)('the gradients of %s', kind => {
  const [rows, dim] = [NORM_ROWS + 5, 3]
  const args: NormArgs = { rows, dim, kind, eps: 0.1 }
  const [x, gradY, gamma, residual] = [rows * dim, rows * dim, dim, rows * dim].map(random)
  const units = normBackward.units(args)
  const run = (name: 'gradX' | 'partialGamma' | 'partialBeta', more: object = {}, t = { x, gradY }) => {
    const length = name === 'gradX' ? rows * dim : units * dim
    return inUnits(length, units, (into, unit) => {
      const own = { gradX: new Float64Array(rows * dim), ...more, [name]: into }
      reference.normBackward({ ...t, ...own }, args, unit, unit + 1)
    })
  }

  it('are those of differences, with a gain and without', () => {
    expectDifferences(from => forward(from, args), x, gradY, run('gradX'))
    expectDifferences(from => forward(from, args, { gamma }), x, gradY, run('gradX', { gamma }))
  })

  it('have what else reaches x beside them', () => {
    const right = run('gradX', { gamma }).map((value, i) => value + residual[i])
    expectClose(run('gradX', { gamma, residual }), right)
  })

  it('are summed over the rows of a unit for gain and offset', () => {
    const unit = forward(x, args)
    const sums = (of: (i: number) => number) => {
      const right = new Float64Array(units * dim)
      for (let i = 0; i < rows * dim; i++) {
        right[Math.floor(i / dim / NORM_ROWS) * dim + (i % dim)] += of(i)
      }
      return right
    }
    // by the gain they are multiplied afterwards: it is not in its own gradient
    const partialGamma = run('partialGamma', { gamma, partialBeta: new Float64Array(units * dim) })
    expectClose(
      partialGamma,
      sums(i => gradY[i] * unit[i]),
    )
    expectClose(
      run('partialBeta', { gamma }),
      sums(i => gradY[i]),
    )
  })

  it('are the same of all units in one call', () => {
    const [gradX, partialGamma, partialBeta] = [rows, units, units].map(
      count => new Float64Array(count * dim),
    )
    reference.normBackward({ x, gradY, gradX, partialGamma, partialBeta }, args, 0, units)
    expect(gradX).toEqual(run('gradX'))
    expect(partialGamma).toEqual(run('partialGamma'))
    expect(partialBeta).toEqual(run('partialBeta'))
  })

  it('pass by a row that nobody read, though it holds NaN', () => {
    const t = { x: x.slice(), gradY: gradY.slice() }
    const [begin, end] = [2 * dim, 3 * dim]
    t.gradY.fill(0, begin, end)
    const clean = { gradX: run('gradX', {}, t), gamma: run('partialGamma', {}, t) }
    t.x.fill(Number.NaN, begin, end)
    expect(run('gradX', {}, t)).toEqual(clean.gradX)
    expect(Array.from(clean.gradX.subarray(begin, end))).toEqual([0, 0, 0])
    expect(run('partialGamma', {}, t)).toEqual(clean.gamma)
    expect(run('gradX', { residual }, t).subarray(begin, end)).toEqual(residual.subarray(begin, end))
  })

  it('are not passed by for one zero among them', () => {
    const some = gradY.slice()
    some[0] = 0
    expectDifferences(from => forward(from, args), x, some, run('gradX', {}, { x, gradY: some }))
  })
})
