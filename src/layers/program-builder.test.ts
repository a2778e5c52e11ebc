/** What a decode step is told of a tensor. */
import { expect, it } from 'vitest'
import type { TensorSource } from '../formats/tensor.ts'
import { decodeArgs } from './program-builder.ts'

const FORMS = ['nested', 'flat', 'base64', 'safetensors', 'shape'] as const

function sourceOf(form: TensorSource['form']): TensorSource {
  const place = { bytes: new Uint8Array(8), start: 3, end: 7, marks: [3, 0], escaped: true }
  return { shape: [2, 3, 4], count: 24, dtype: 'float32', form, ...place }
}

it('decoding is told the form, the place and the policy', () => {
  const policy = { rejectNonFinite: true, allowNegativeInfinity: false }
  const forms = FORMS.map(form => decodeArgs(sourceOf(form), policy).form)
  expect(forms).toEqual(['json', 'json', 'base64', 'raw', 'raw'])
  expect(decodeArgs(sourceOf('flat'), policy)).toEqual({
    form: 'json',
    start: 3,
    end: 7,
    dtype: 'float32',
    count: 24,
    marks: [3, 0],
    escaped: true,
    rejectNonFinite: true,
    allowNegativeInfinity: false,
  })
})
