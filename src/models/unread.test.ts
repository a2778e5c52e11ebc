import { expect, it } from 'vitest'
import { qkNormForward } from '../../workers/ops/qk-norm/op.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { dropUnread } from './unread.ts'

/** Steps that copy 3 elements, and what is left of them, by the buffers that they write. */
function program() {
  const p = new RequestProgram('float32', 'reject')
  const copy = (x: number, y = p.reals(3)) => {
    p.stage(p.step(qkNormForward, { x, y }, { rows: 1, dim: 3, kind: 'l2', eps: 1 }))
    return y
  }
  const left = () => {
    for (const _ of dropUnread(p));
    return p.stages.flat().map(({ tensors }) => (tensors as { y?: number }).y)
  }
  return { p, copy, left }
}

it('leaves out what nothing reads, and what only that reads', () => {
  const { p, copy, left } = program()
  const x = p.reals(3, [1, 2, 3])
  const first = copy(x)
  const unread = copy(copy(first))
  const answer = copy(first)
  copy(unread)
  p.output('y', answer, [3])
  expect(left()).toEqual([first, answer])
})

it('keeps what leaves at a barrier, what decides whether it is passed, and parts of what is read', () => {
  const { p, copy, left } = program()
  const x = p.reals(3, [1, 2, 3])
  const whole = p.reals(6)
  const part = copy(x, p.part(whole, 3, 3))
  const frame = copy(x)
  const guide = copy(x)
  p.barrier({ pass: 'forward', layer: 0 }, [{ name: 'f', buffer: frame, shape: [3], guide }])
  const id = copy(x)
  p.barrier({ pass: 'generate', layer: 0 }, []).skip = { to: 5, id, among: [1] }
  copy(x)
  p.output('whole', whole, [6])
  expect(left()).toEqual([part, frame, guide, id])
})

it('checks what came in, though nothing reads it', () => {
  const { p } = program()
  const bytes = new Uint8Array(12)
  p.input('/x', { form: 'base64', bytes, start: 0, end: 16, dtype: 'float32', count: 3, shape: [3] } as never)
  for (const _ of dropUnread(p));
  expect(p.stages.flat()).toHaveLength(1)
})
