/** Where a tensor and its elements stand in a body, and what decoding is told. */
import { describe, expect, it } from 'vitest'
import {
  elementPointer,
  HugeNumber,
  indices,
  NumbersSpan,
  product,
  readTensor,
  shapeFault,
  shapePointer,
  type TensorSource,
} from './tensor.ts'

const FORMS = ['nested', 'flat', 'base64', 'safetensors', 'shape'] as const

function source(form: TensorSource['form'], shape = [2, 3, 4]): TensorSource {
  const place = { bytes: new Uint8Array(8), start: 3, end: 7, marks: [3, 0], escaped: true }
  return { shape, count: product(shape), dtype: 'float32', form, ...place }
}

it('a product of extents', () => {
  expect([product([]), product([5]), product([2, 3, 4]), product([2, 0, 4])]).toEqual([1, 5, 24, 0])
})

it('indices count from the last axis', () => {
  const all = Array.from({ length: 24 }, (_, index) => indices([2, 3, 4], index))
  expect(all[0]).toEqual([0, 0, 0])
  expect(all[5]).toEqual([0, 1, 1])
  expect(all[23]).toEqual([1, 2, 3])
  expect(new Set(all.map(String)).size).toBe(24)
  expect(indices([], 0)).toEqual([])
})

describe('shapes', () => {
  const MOST = 2 ** 30
  it.each<[unknown[], number | undefined, string]>([
    [[MOST + 1], 0, `expected at most ${MOST}, got ${MOST + 1}`],
    [[0, MOST + 1, 2], 1, `expected at most ${MOST}, got ${MOST + 1}`],
    [
      [0, 2 ** 20, 0, 2 ** 20 + 1],
      3,
      `expected at most ${2 ** 20} beside the extents before it, got ${2 ** 20 + 1}`,
    ],
    [[2 ** 30, 2 ** 10, 2], 2, 'expected at most 1 beside the extents before it, got 2'],
    [[1, -1], 1, 'expected a non-negative integer, got number -1'],
    [[1, '2'], 1, 'expected a non-negative integer, got string "2"'],
    [Array(9).fill(1), undefined, 'expected at most 8 axes, got 9'],
  ])('%j is none of a tensor', (shape, axis, message) => {
    expect(shapeFault(shape)).toEqual({ axis, message })
  })

  it.each([[[]], [[0]], [[MOST, 0, 2 ** 10]], [[0, 0, 0]], [[1, 1, 1, 1, 1, 1, 1, 1]], [[2 ** 20, 2 ** 20]]])(
    '%j is one',
    shape => expect(shapeFault(shape)).toBeUndefined(),
  )

  it('are bounded in nested arrays too', () => {
    const span = { kind: 'numbers' as const, element: 'number' as const, shape: [MOST + 1, 0], count: 0 }
    const numbers = new NumbersSpan(new Uint8Array(2), { ...span, start: 0, end: 2, marks: [0, 0] })
    expect(readTensor(numbers, false)).toEqual({
      path: [],
      message: `expected at most ${MOST}, got ${MOST + 1} along axis 0`,
    })
  })
})

describe('what is no tensor', () => {
  const found = (value: unknown) => readTensor(value, false) as { path: unknown[]; message: string }
  it('is told where it begins and what it is', () => {
    expect(found([[[null, 1]]])).toMatchObject({ path: [0, 0, 0] })
    expect(found([[[]], 1])).toMatchObject({ path: [0, 0] })
    expect(found(null).message).toContain('got null')
    expect(found(['x']).message).toBe('expected a number or a boolean, got string "x"')
    expect(found(Number.NaN).message).toContain('got number NaN')
  })

  it('shows the beginning of a number that no float64 holds', () => {
    const text = Buffer.from(`x${'9'.repeat(400)}`)
    const huge = (end: number) => new HugeNumber(text, { kind: 'huge', start: 1, end })
    expect(found(huge(5)).message).toContain('got number 9999')
    expect(found(huge(400)).message).toContain(`got number ${'9'.repeat(32)}`)
    expect(found(huge(400)).message).not.toContain('9'.repeat(33))
  })
})

describe('pointers', () => {
  it('of shapes', () => {
    expect(FORMS.map(form => shapePointer(source(form)))).toEqual(['', '/shape', '/shape', '', '/shape'])
  })

  it('of elements', () => {
    expect(FORMS.map(form => elementPointer(source(form), 17))).toEqual(['/1/1/1', '/data/17', '', '', ''])
  })
})
