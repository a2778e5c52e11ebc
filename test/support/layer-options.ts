/** Options that every attention layer takes, drawn at random, and the fields of a request that they are. */
import * as fc from 'fast-check'
import type { Body, drawer, Flat } from './layer-cases.ts'

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

/** Options that every attention layer takes, but for those that need sizes. */
export const options = fc.record({
  softcap: maybe(fc.constant(2)),
  causal: fc.constantFrom<boolean | string>(false, true, 'bottom_right'),
  window: maybe(fc.record({ left: fc.nat(4), right: fc.nat(4) })),
  qk_norm: maybe(fc.constantFrom<unknown>('l2', { kind: 'rms', eps: 1e-3 })),
  rope: maybe(fc.record({ interleaved: fc.boolean(), q_offset: fc.nat(5) })),
  alibi: fc.boolean(),
  dropout: maybe(fc.record({ p: fc.constant(0.3), seed: fc.nat(99) })),
  mask: fc.constantFrom('none', 'float', 'bool'),
  padded: fc.boolean(),
  entropy: maybe(fc.constantFrom(0.5, -0.3)),
  loss: fc.constantFrom('grad_output', 'sum_squared_error', 'mean_squared_error'),
})
type Options = typeof options extends fc.Arbitrary<infer T> ? T : never

/** The fields for those options, with tensors of the right sizes. */
export function fields(
  o: Options,
  draw: ReturnType<typeof drawer>,
  batch: number,
  n: number,
  m: number,
  output: number[],
): Body {
  const body: Body = { precision: 'float64', softcap: o.softcap, causal: o.causal, window: o.window }
  Object.assign(body, { qk_norm: o.qk_norm, rope: o.rope, alibi: o.alibi, dropout: o.dropout })
  if (o.mask === 'float') body.mask = draw(n, m)
  if (o.mask === 'bool')
    body.mask = Array.from({ length: n }, (_, i) =>
      Array.from({ length: m }, (_, j) => (i * 7 + j * 3) % 4 !== 0),
    )
  if (o.padded) {
    body.q_lengths = Array.from({ length: batch }, (_, b) => Math.max(0, n - b))
    body.kv_lengths = Array.from({ length: batch }, (_, b) => Math.max(0, m - 1 - b))
  }
  body.backward = {
    ...(o.loss === 'grad_output'
      ? { grad_output: draw(...output) }
      : { target: draw(...output), loss: o.loss }),
    ...(o.entropy !== undefined && { entropy_weight: o.entropy }),
  }
  return body
}

export function withPadding(body: Body, o: Options, output: number[]): Body {
  const grad = (body.backward as { grad_output?: Flat }).grad_output
  if (!o.padded || grad === undefined || output.length < 3) return body
  const [, n, dim] = output
  for (const [b, length] of (body.q_lengths as number[]).entries()) {
    grad.data.fill(0, (b * n + length) * dim, (b + 1) * n * dim)
  }
  return body
}
