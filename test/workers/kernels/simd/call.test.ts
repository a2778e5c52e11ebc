import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { CALL_FIELDS } from '../../../../workers/kernels/simd/call.ts'

it('a call is written in the order in which the kernels read it', () => {
  const file = new URL('../../../../workers/kernels/simd/assembly/call.ts', import.meta.url)
  const [, body] = readFileSync(file, 'utf8').split('export class Call {')
  const fields = [...body.split('\n}')[0].matchAll(/^ {2}([a-zA-Z]+): (usize|i32|u32|f32)/gm)].map(
    ([, name]) => name,
  )
  expect(fields).toEqual(CALL_FIELDS)
})
