/** Gradients of every layer against central differences in float64, over random configurations. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 })
const seed = fc.integer({ min: 1, max: 2 ** 31 })
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const precision = 'float64'

/** Options that every attention layer takes, but for those that need sizes. */
const options = fc.record({
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
function fields(
  o: Options,
  draw: ReturnType<typeof drawer>,
  batch: number,
  n: number,
  m: number,
  output: number[],
): Body {
  const body: Body = { precision, softcap: o.softcap, causal: o.causal, window: o.window }
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

function withPadding(body: Body, o: Options, output: number[]): Body {
  const grad = (body.backward as { grad_output?: Flat }).grad_output
  if (!o.padded || grad === undefined || output.length < 3) return body
  const [, n, dim] = output
  for (const [b, length] of (body.q_lengths as number[]).entries()) {
    grad.data.fill(0, (b * n + length) * dim, (b + 1) * n * dim)
  }
  return body
}

describe('gradients by central differences', () => {
  it('self-attention', async () => {
    const sizes = fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      n: fc.integer({ min: 1, max: 7 }),
      bias: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(options, sizes, seed, picks, async (o, { batch, n, bias }, from, at) => {
        const draw = drawer(from)
        const [dModel, dK, dV] = [5, 4, 3]
        const output = [batch, n, dV]
        const body: Body = {
          ...fields(o, draw, batch, n, n, output),
          x: draw(batch, n, dModel),
          params: {
            w_q: draw(dModel, dK),
            w_k: draw(dModel, dK),
            w_v: draw(dModel, dV),
            ...(bias && { b_q: draw(dK), b_k: draw(dK), b_v: draw(dV) }),
          },
        }
        const names = await expectGradients('/v1/self-attention', withPadding(body, o, output), at)
        expect(names).toContain('params.w_v')
        expect(names.includes('params.b_k')).toBe(bias)
      }),
      { numRuns: 40 },
    )
  })

  it('multi-head attention: GQA, cross-attention, a past', async () => {
    const sizes = fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      n: fc.integer({ min: 1, max: 6 }),
      m: maybe(fc.integer({ min: 1, max: 7 })),
      kvHeads: fc.integer({ min: 1, max: 2 }),
      group: fc.integer({ min: 1, max: 3 }),
      past: fc.constantFrom(0, 0, 3),
      bias: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(options, sizes, seed, picks, async (o, s, from, at) => {
        const draw = drawer(from)
        const { batch, n, kvHeads, past, bias } = s
        const heads = kvHeads * s.group
        const [dModel, dContext, dK, dV, dOut] = [6, s.m === undefined ? 6 : 5, 4, 3, 7]
        const m = (s.m ?? n) + past
        const output = [batch, n, dOut]
        const body: Body = {
          ...fields(o, draw, batch, n, m, output),
          x: draw(batch, n, dModel),
          heads,
          kv_heads: kvHeads,
          ...(s.m !== undefined && { context: draw(batch, s.m, dContext) }),
          ...(past > 0 && { past_k: draw(batch, kvHeads, past, dK), past_v: draw(batch, kvHeads, past, dV) }),
          params: {
            w_q: draw(dModel, heads * dK),
            w_k: draw(dContext, kvHeads * dK),
            w_v: draw(dContext, kvHeads * dV),
            w_o: draw(heads * dV, dOut),
            ...(bias && {
              b_q: draw(heads * dK),
              b_k: draw(kvHeads * dK),
              b_v: draw(kvHeads * dV),
              b_o: draw(dOut),
            }),
          },
        }
        if (past > 0) {
          const wrt = ['x', 'params', 'past_k', 'past_v', ...(s.m === undefined ? [] : ['context'])]
          Object.assign(body.backward as Body, { wrt })
        }
        const names = await expectGradients('/v1/multi-head-attention', withPadding(body, o, output), at)
        expect(names.includes('context')).toBe(s.m !== undefined)
        expect(names.includes('past_k')).toBe(past > 0)
      }),
      { numRuns: 50 },
    )
  })

  it('a transformer stack, and the same bits with checkpoints', async () => {
    const stacks = fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      n: fc.integer({ min: 1, max: 5 }),
      layers: fc.integer({ min: 1, max: 3 }),
      kvHeads: fc.constantFrom(1, 2),
      norm: fc.constantFrom('pre', 'post'),
      norm_kind: fc.constantFrom('layer', 'rms'),
      activation: fc.constantFrom(
        'relu',
        'gelu',
        'gelu_tanh',
        'silu',
        'quick_gelu',
        'swiglu',
        'geglu',
        'geglu_tanh',
      ),
      position: fc.constantFrom('none', 'sinusoidal', 'rope', 'alibi'),
      bias: fc.boolean(),
      finalNorm: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(options, stacks, seed, picks, async (o, s, from, at) => {
        const draw = drawer(from)
        const { batch, n, layers, kvHeads, norm, norm_kind, activation, position } = s
        const [dModel, heads, dFf] = [8, 2, 5]
        const output = [batch, n, dModel]
        const { causal, rope: _rope, alibi: _alibi, ...beside } = fields(o, draw, batch, n, n, output)
        const params: Record<string, Flat> = {}
        const kv = kvHeads * (dModel / heads)
        for (let i = 0; i < layers; i++) {
          const add = (name: string, ...shape: number[]) => {
            params[`layers.${i}.${name}`] = draw(...shape)
          }
          add('attention.w_q', dModel, dModel)
          add('attention.w_k', dModel, kv)
          add('attention.w_v', dModel, kv)
          add('attention.w_o', dModel, dModel)
          add('ffn.w_1', dModel, dFf)
          add('ffn.w_2', dFf, dModel)
          if (activation.endsWith('glu') || activation === 'geglu_tanh') add('ffn.w_gate', dModel, dFf)
          for (const name of ['norm1', 'norm2']) {
            add(`${name}.gamma`, dModel)
            if (norm_kind === 'layer') add(`${name}.beta`, dModel)
          }
          if (s.bias) {
            add('attention.b_q', dModel)
            add('attention.b_o', dModel)
            add('ffn.b_1', dFf)
            add('ffn.b_2', dModel)
          }
        }
        if (norm === 'pre' && s.finalNorm) params['final_norm.gamma'] = draw(dModel)
        const stack = {
          layers,
          heads,
          kv_heads: kvHeads,
          norm,
          norm_kind,
          norm_eps: 1e-2,
          activation,
          position,
          causal,
          params,
        }
        const body = withPadding({ ...beside, stack, x: draw(batch, n, dModel) }, o, output)
        const names = await expectGradients('/v1/transformer', body, at)
        expect(names.filter(name => name.startsWith('params.')).length).toBe(Object.keys(params).length)
        const plain = await runProgram('/v1/transformer', body)
        const checkpointed = await runProgram('/v1/transformer', { ...body, checkpoint: true })
        expect(checkpointed.tensors).toEqual(plain.tensors)
        expect(checkpointed.loss).toBe(plain.loss)
      }),
      { numRuns: 15 },
    )
  })
})
