import { expect, it } from 'vitest'
import { type AttentionArgs, attentionForward } from '../../workers/ops/attention/op.ts'
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

it('computes no values for an attention whose maps alone are wanted', () => {
  const { p, copy, left } = program()
  const args = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 1, dimK: 3, dimV: 3 } as AttentionArgs
  const attend = (output: number) => {
    const [q, k, v] = [copy(x), copy(x), copy(x)]
    const denominator = p.buffer({ type: 'float64', length: 2 })
    const logsumexp = p.buffer({ type: 'float64', length: 1 })
    const tensors = { q, k, v, output, denominator, logsumexp, weights: p.reals(1) }
    const step = p.step(attentionForward, tensors, args)
    p.stage(step)
    p.output('weights', tensors.weights, [1])
    return { step, q, k, v }
  }
  const x = p.reals(3, [1, 2, 3])
  const answer = p.reals(3)
  const whole = attend(answer)
  const maps = attend(p.reals(3))
  p.output('output', answer, [3])
  expect(left()).toEqual([whole.q, whole.k, whole.v, undefined, maps.q, maps.k, undefined])
  expect([whole, maps].map(({ step }) => step.args.dimV)).toEqual([3, 0])
})
