/** Where a tensor and its elements stand in a body, and what decoding is told. */
import { describe, expect, it } from 'vitest'
import { elementPointer, indices, product, shapePointer, type TensorSource } from './tensor.ts'

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

describe('pointers', () => {
  it('of shapes', () => {
    expect(FORMS.map(form => shapePointer(source(form)))).toEqual(['', '/shape', '/shape', '', '/shape'])
  })

  it('of elements', () => {
    expect(FORMS.map(form => elementPointer(source(form), 17))).toEqual(['/1/1/1', '/data/17', '', '', ''])
  })
})
