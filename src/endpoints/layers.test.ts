/** Gradients of every layer against central differences in float64, over random configurations. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients } from '../../test/support/layer-cases.ts'
import { fields, options, withPadding } from '../../test/support/layer-options.ts'

const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 })
const seed = fc.integer({ min: 1, max: 2 ** 31 })
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

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
})
