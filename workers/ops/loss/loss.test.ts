import { describe, expect, it } from 'vitest'
import { expectDifferences } from '../../../test/support/gradient-check.ts'
import { normalNumbers } from '../../../test/support/numbers.ts'
import { lossTotal, squaredErrorLoss } from './kernel.ts'

const normal = normalNumbers(5)
const random = (count: number) => Float64Array.from({ length: count }, normal)

describe('losses', () => {
  const [batch, heads, queries, dimV] = [2, 2, 3, 4]
  const count = batch * heads * queries * dimV

  it('squared error and its gradient; padding rows take no part', () => {
    const [output, target] = [random(count), random(count)]
    const qLengths = Int32Array.of(2, 3)
    target.fill(Number.NaN, 2 * dimV, 3 * dimV) // batch 0, head 0, the padded row
    const [gradOutput, partials] = [new Float64Array(count), new Float64Array(batch * heads)]
    const args = { batch, heads, queries, dimV, factor: 0.25 }
    const run = (from: Float64Array) => {
      squaredErrorLoss({ output: from, target, qLengths, gradOutput, partials }, args, 0, batch * heads)
      return Float64Array.of(partials.reduce((a, b) => a + b, 0))
    }
    run(output)
    const gradient = gradOutput.slice()
    expect(Array.from(gradient.slice(2 * dimV, 3 * dimV))).toEqual([0, 0, 0, 0])
    expectDifferences(run, output, Float64Array.of(1), gradient)
  })

  it('the entropy term is a mean over the rows that attend to something', () => {
    const scalars = new Float64Array(2)
    const entropy = Float64Array.of(1, 2, 0, 4)
    const logsumexp = Float64Array.of(0, 1, Number.NEGATIVE_INFINITY, 2)
    const args = { partials: 2, rows: 4, entropyWeight: 0.3 }
    lossTotal({ partials: Float64Array.of(5, 6), entropy, logsumexp, scalars }, args, 0, 1)
    expect(scalars[0]).toBeCloseTo(11 + (0.3 * 7) / 3, 12)
    expect(scalars[1]).toBeCloseTo(0.1, 12)
    logsumexp.fill(Number.NEGATIVE_INFINITY)
    lossTotal({ entropy, logsumexp, scalars }, args, 0, 1)
    expect(Array.from(scalars)).toEqual([0, 0])
  })
})
