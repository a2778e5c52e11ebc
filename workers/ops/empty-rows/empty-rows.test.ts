import { describe, expect, it } from 'vitest'
import { emptyRowsToKeys, emptyRowsToMask, headMeans, writeEmptyRows } from './kernel.ts'

const NaN2 = [Number.NaN, Number.NaN]
/** Two heads of two rows; the second row of the first head attends to nothing, as does the first of the second. */
const denominator = Float64Array.of(0, 1, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, 0, 0, 2)
const sizes = { batch: 1, heads: 2, kvHeads: 1, queries: 2, keys: 2, dim: 2 }
const x = Float64Array.of(1, 2, 0, 0, 0, 0, 3, 4)

describe('empty rows', () => {
  it.each([
    ['nan', [1, 2, ...NaN2, ...NaN2, 3, 4]],
    ['value', [1, 2, 0.5, 0.5, 0.5, 0.5, 3, 4]],
    ['mean', [1, 2, 6, 7, 6, 7, 3, 4]],
  ] as const)('are written as %s', (by, wanted) => {
    const y = new Float64Array(8)
    const v = Float64Array.of(5, 6, 7, 8)
    writeEmptyRows({ x, denominator, v, y }, { ...sizes, by, value: 0.5 }, 0, 4)
    expect([...y]).toEqual(wanted)
  })

  it('are none where they are padding', () => {
    const y = new Float64Array(8)
    const qLengths = Int32Array.of(1)
    writeEmptyRows({ x, denominator, qLengths, y }, { ...sizes, by: 'nan', value: 0 }, 0, 4)
    expect([...y]).toEqual([1, 2, 0, 0, ...NaN2, 3, 4])
  })

  it('give every value its share of what reaches them', () => {
    const y = new Float64Array(4)
    const gradOutput = Float64Array.of(9, 9, 1, 2, 3, 4, 9, 9)
    const tensors = { x: Float64Array.of(1, 1, 1, 1), denominator, gradOutput, y }
    emptyRowsToKeys(tensors, { ...sizes, by: 'share' }, 0, 1)
    expect([...y]).toEqual([3, 4, 3, 4])
  })

  it('as NaN leave nothing but NaN in the gradients of keys that they share', () => {
    const y = new Float64Array(4)
    emptyRowsToKeys({ x: Float64Array.of(1, 1, 1, 1), denominator, y }, { ...sizes, by: 'nan' }, 0, 1)
    expect([...y]).toEqual([...NaN2, ...NaN2])
  })

  it('as NaN are NaN in the gradient of a mask that heads share', () => {
    const y = new Float64Array(4)
    const args = { batch: 1, heads: 2, queries: 2, keys: 2, count: 4 }
    const tensors = { x: Float64Array.of(1, 2, 3, 4), denominator: denominator.slice(0, 8), y }
    const live = Float64Array.of(0, 1, Number.NEGATIVE_INFINITY, 0, 0, 1, 0, 2)
    emptyRowsToMask({ ...tensors, denominator: live }, { ...args, maskStrides: [0, 0, 2, 1] }, 0, 1)
    expect([...y]).toEqual([1, 2, ...NaN2])
  })
})

it('heads have a mean', () => {
  const y = new Float64Array(2)
  headMeans({ x: Float64Array.of(1, 2, 3, 6), y }, { batch: 1, heads: 2, width: 2 }, 0, 1)
  expect([...y]).toEqual([2, 4])
})
