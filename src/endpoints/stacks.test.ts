/** Stacks: gradients against central differences in float64 over random configurations, and what is the same as what. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients } from '../../test/support/layer-cases.ts'
import { fields, options, withPadding } from '../../test/support/layer-options.ts'
import { runProgram } from '../../test/support/run-program.ts'
import { D_MODEL, type StackSpec, stackOf, stacks } from '../../test/support/stack-cases.ts'

const STACK = '/v1/transformer'
/** One element of each tensor: there are many of them. */
const picks = fc.array(fc.nat(), { minLength: 1, maxLength: 1 })
const seed = fc.integer({ min: 1, max: 2 ** 31 })
const sizes = fc.record({ batch: fc.integer({ min: 1, max: 2 }), n: fc.integer({ min: 1, max: 5 }) })

/** A plain stack of one kind. */
const PLAIN: StackSpec = {
  layers: 2,
  kvHeads: 1,
  headDim: undefined,
  norm: 'pre',
  norm_kind: 'layer',
  activation: 'gelu',
  position: undefined,
  bias: true,
  finalNorm: true,
  gains: false,
  sinks: false,
  relativeBias: false,
  dContext: undefined,
}

/** A request for a stack like that, in float64. */
function requestOf(change: Partial<StackSpec>, stack: Body = {}, from = 1): Body {
  const draw = drawer(from)
  const x = draw(2, 5, D_MODEL)
  const fields = { precision: 'float64', x, return: ['output', 'weights'] }
  return { ...fields, stack: { ...stackOf({ ...PLAIN, ...change }, draw), ...stack } }
}

const answer = async (body: Body) => (await runProgram(STACK, body)).tensors

describe('a transformer stack', () => {
  it('has the gradients of central differences, and the same bits with checkpoints', async () => {
    await fc.assert(
      fc.asyncProperty(options, stacks, sizes, seed, picks, async (o, s, { batch, n }, from, at) => {
        const draw = drawer(from)
        const output = [batch, n, D_MODEL]
        const { causal, rope: _rope, alibi: _alibi, ...beside } = fields(o, draw, batch, n, n, output)
        const stack: Body = { ...stackOf(s, draw), causal }
        if (s.gains && beside.qk_norm === 'l2') delete beside.qk_norm
        const body = withPadding({ ...beside, stack, x: draw(...output) }, o, output)
        if (s.dContext !== undefined) {
          body.context = draw(batch, 4, s.dContext)
          if (o.padded) body.context_lengths = Array.from({ length: batch }, (_, b) => 3 * b)
        }
        const names = await expectGradients(STACK, body, at)
        expect(names.includes('context')).toBe(s.dContext !== undefined)
        const params = names.filter(name => name.startsWith('params.'))
        expect(params.length).toBe(Object.keys(stack.params as object).length)
        const plain = await runProgram(STACK, body)
        const checkpointed = await runProgram(STACK, { ...body, checkpoint: true })
        expect(checkpointed.tensors).toEqual(plain.tensors)
        expect(checkpointed.loss).toBe(plain.loss)
      }),
      { numRuns: 20 },
    )
  })

  it('takes scale and softcap in the stack or beside it', async () => {
    const within = await answer(requestOf({}, { scale: 0.3, softcap: 2 }))
    expect(within).toEqual(await answer({ ...requestOf({}), scale: 0.3, softcap: 2 }))
    expect(within).not.toEqual(await answer(requestOf({})))
  })

  it('rotates where it has a rope, with or without saying so twice', async () => {
    const rope = { base: 100 }
    const said = await answer(requestOf({ position: 'rope' }, { rope }))
    expect(await answer(requestOf({}, { rope }))).toEqual(said)
    expect(await answer(requestOf({}))).not.toEqual(said)
  })

  it('has heads of any head_dim, drawn too', async () => {
    const stack = { layers: 1, heads: 3, head_dim: 5, kv_heads: 1, init: { seed: 3 } }
    const x = drawer(1)(4, D_MODEL)
    const { tensors } = await runProgram(STACK, { stack, x, return: ['output', 'params'] })
    expect(tensors.output.shape).toEqual([4, D_MODEL])
    expect(tensors['params.layers.0.attention.w_q'].shape).toEqual([D_MODEL, 15])
    expect(tensors['params.layers.0.attention.w_v'].shape).toEqual([D_MODEL, 5])
    expect(tensors['params.layers.0.attention.w_o'].shape).toEqual([15, D_MODEL])
  })

  it('multiplies normalised queries and keys with their gains', async () => {
    const body = requestOf({ gains: true }, { rope: {} })
    const { params } = body.stack as { params: Record<string, { data: number[] }> }
    const gains = Object.keys(params).filter(name => /[qk]_norm/.test(name))
    expect(gains).toHaveLength(4)
    for (const name of gains) params[name].data.fill(1)
    const eps = { qk_norm: { kind: 'rms', eps: 1e-6 } }
    const plain = requestOf({ gains: true }, { rope: {} })
    for (const name of gains) delete (plain.stack as { params: Body }).params[name]
    const right = await answer({ ...plain, ...eps })
    const close = (found: typeof right) => {
      for (const [index, value] of found.output.data.entries()) {
        expect(value).toBeCloseTo(right.output.data[index], 12)
      }
    }
    close(await answer(body))
    close(await answer({ ...body, ...eps }))
    const other = await answer({ ...body, qk_norm: { kind: 'rms', eps: 1 } })
    expect(other.output.data[0]).not.toBeCloseTo(right.output.data[0], 6)
  })

  it('has norms around each part of a sandwich, and residuals around those', async () => {
    const request = requestOf({ norm: 'sandwich', layers: 1 })
    const stack = request.stack as Body & { params: Record<string, { data: number[] }> }
    // a part whose second norm gives zeros leaves x as it was
    const silent = (...names: string[]) => {
      const zero = (norm: string) => [`layers.0.${norm}.gamma`, `layers.0.${norm}.beta`]
      const params = { ...stack.params }
      for (const name of names.flatMap(zero)) {
        params[name] = { ...params[name], data: params[name].data.map(() => 0) }
      }
      delete params['final_norm.gamma']
      delete params['final_norm.beta']
      return answer({ ...request, stack: { ...stack, params } })
    }
    const x = (request.x as { data: number[] }).data
    expect((await silent('norm2', 'norm4')).output.data).toEqual(x)
    expect((await silent('norm2')).output.data).not.toEqual(x)
    expect((await silent('norm4')).output.data).not.toEqual(x)
  })

  it('takes windows and ropes by layer', async () => {
    const window = { left: 1, right: 0 }
    const rope = { base: 50, dims: 2 }
    const all = await answer(requestOf({}, { window, rope }))
    expect(await answer(requestOf({}, { window: [window, window], rope: [rope, { ...rope }] }))).toEqual(all)
    expect(await answer({ ...requestOf({}, { rope }), window })).toEqual(all)
    const mixed = await answer(requestOf({}, { window: [null, window], rope: [rope, null] }))
    const plain = await answer(requestOf({}, { rope }))
    // layer 0 has the rope and no window, layer 1 the window and no rope
    expect(mixed['layers.0.weights']).toEqual(plain['layers.0.weights'])
    expect(mixed['layers.1.weights']).not.toEqual(all['layers.1.weights'])
    for (const [index, weight] of mixed['layers.1.weights'].data.entries()) {
      const [i, j] = [Math.floor(index / 5) % 5, index % 5]
      expect(weight === 0).toBe(j < i - 1 || j > i)
    }
    const half = { ...requestOf({ layers: 1 }, { window }), return: ['weights'] }
    const last = { ...requestOf({ layers: 1 }, { window: [window] }), return: ['weights'] }
    expect(await answer(half)).toEqual(await answer(last))
  })

  it('has gradients where each layer has its own window and rope', async () => {
    const stack = {
      causal: true,
      window: [{ left: 1 }, null, { left: 2 }, null],
      rope: [{ base: 10 }, null, { base: 10 }, { frequencies: [0.5, 0.1] }],
    }
    const body = requestOf({ layers: 4 }, stack, 9)
    Object.assign(body, { mask: drawer(3)(5, 5), backward: { target: drawer(4)(2, 5, D_MODEL) } })
    const names = await expectGradients(STACK, { ...body, return: ['output'] }, [7])
    expect(names).toContain('mask')
    const { tensors } = await runProgram(STACK, body)
    expect((await runProgram(STACK, { ...body, checkpoint: true })).tensors).toEqual(tensors)
  })

  it('answers the maps and rows of cross-attention', async () => {
    const body = requestOf({ dContext: 5, kvHeads: 2 }, { causal: true })
    const context = drawer(8)(2, 7, 5)
    const names = ['weights', 'scores', 'masked_scores', 'logsumexp', 'entropy', 'dropped_weights']
    const dropout = { p: 0.3, seed: 4 }
    const asked = { context, context_lengths: [7, 3], dropout, return: names.map(name => `cross_${name}`) }
    const found = await answer({ ...body, ...asked })
    expect(Object.keys(found)).toHaveLength(12)
    const weights = found['layers.1.cross_weights']
    expect(weights.shape).toEqual([2, 2, 5, 7])
    for (const [index, weight] of weights.data.entries()) {
      const padding = index >= 2 * 5 * 7 && index % 7 >= 3
      expect(weight === 0).toBe(padding)
    }
    const rows = weights.data.length / 7
    for (let row = 0; row < rows; row++) {
      const sum = weights.data.slice(7 * row, 7 * row + 7).reduce((a, b) => a + b)
      expect(sum).toBeCloseTo(1, 12)
    }
    const dropped = found['layers.1.cross_dropped_weights'].data
    expect(
      dropped.every((weight, i) => weight === 0 || Math.abs(weight - weights.data[i] / 0.7) < 1e-12),
    ).toBe(true)
    expect(dropped.filter((weight, i) => weight === 0 && weights.data[i] !== 0).length).toBeGreaterThan(20)
    expect(found['layers.0.cross_logsumexp'].shape).toEqual([2, 2, 5])
  })

  it('lets no padding of a context into anything', async () => {
    const body = requestOf({ dContext: 5 })
    const backward = { target: drawer(4)(2, 5, D_MODEL), entropy_weight: 0.1 }
    const draw = drawer(8)
    const context = draw(2, 7, 5)
    const asked = { ...body, context_lengths: [7, 3], backward }
    const found = await runProgram(STACK, { ...asked, context })
    const spoiled = context.data.map((value, index) => (index >= (7 + 3) * 5 ? 'NaN' : value))
    const other = await runProgram(STACK, {
      ...asked,
      context: { shape: [2, 7, 5], data: spoiled },
      non_finite: 'propagate',
    })
    expect(other.loss).toBe(found.loss)
    expect(other.tensors).toEqual(found.tensors)
    expect(found.tensors['grads.context'].data.slice(10 * 5)).toEqual(Array(4 * 5).fill(0))
  })

  it('has the gradients of an encoder before it', async () => {
    const models = fc.record({
      encoder: stacks,
      decoder: stacks,
      padded: fc.boolean(),
      dropped: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(models, sizes, seed, picks, async (model, { batch, n }, from, at) => {
        const draw = drawer(from)
        const encoder = { ...model.encoder, dContext: undefined }
        const decoder = { ...model.decoder, dContext: D_MODEL }
        const body: Body = {
          precision: 'float64',
          stack: { ...stackOf(decoder, draw), causal: true },
          x: draw(batch, n, D_MODEL),
          encoder: {
            stack: stackOf(encoder, draw),
            x: draw(batch, 4, D_MODEL),
            q_lengths: model.padded ? Array.from({ length: batch }, (_, b) => 4 - 3 * b) : undefined,
          },
          dropout: model.dropped ? { p: 0.3, seed: 5 } : undefined,
          backward: { target: draw(batch, n, D_MODEL), entropy_weight: 0.4 },
        }
        const names = await expectGradients(STACK, body, at)
        expect(names.slice(0, 1)).toEqual(['x'])
        expect(names).toContain('encoder.x')
        for (const [prefix, { stack }] of [
          ['', body as Body & { stack: Body }],
          ['encoder.', body.encoder as { stack: Body }],
        ] as const) {
          const params = Object.keys(stack.params as Body).map(name => `${prefix}params.${name}`)
          expect(names).toEqual(expect.arrayContaining(params))
        }
        const plain = await runProgram(STACK, body)
        const checkpointed = await runProgram(STACK, { ...body, checkpoint: true })
        expect(checkpointed.tensors).toEqual(plain.tensors)
      }),
      { numRuns: 6 },
    )
  })

  it('with an encoder is what two requests give', async () => {
    const encoder = requestOf({ norm: 'post' }, {}, 3)
    const decoder = requestOf({ dContext: D_MODEL }, { causal: true }, 4)
    const asked = { return: ['output', 'weights', 'cross_weights', 'params'] }
    const whole = await answer({
      ...decoder,
      ...asked,
      encoder: { stack: encoder.stack, x: encoder.x, q_lengths: [5, 3] },
    })
    const first = await answer({
      ...encoder,
      q_lengths: [5, 3],
      kv_lengths: [5, 3],
      return: ['output', 'weights', 'params'],
    })
    const second = await answer({ ...decoder, ...asked, context: first.output, context_lengths: [5, 3] })
    const below = Object.fromEntries(
      Object.entries(first).map(([name, tensor]) => [`encoder.${name}`, tensor]),
    )
    expect(whole).toEqual({ ...second, ...below })
  })

  it('computes only the gradients of an encoder that are wanted', async () => {
    const encoder = { stack: { layers: 1, heads: 2, init: {} }, x: drawer(1)(3, D_MODEL) }
    const body = { stack: encoder.stack, x: drawer(2)(4, D_MODEL), encoder, precision: 'float64' }
    const gradientsOf = async (...wrt: string[]) => {
      const found = await answer({ ...body, backward: { target: drawer(3)(4, D_MODEL), wrt } })
      return Object.keys(found).filter(name => name.startsWith('grads.'))
    }
    expect(await gradientsOf('encoder.x')).toEqual(['grads.encoder.x'])
    expect(await gradientsOf('x')).toEqual(['grads.x'])
    const norm = ['gamma', 'beta'].map(name => `grads.encoder.params.layers.0.norm1.${name}`)
    expect(await gradientsOf('encoder.params.layers.0.norm1')).toEqual(norm)
    expect((await gradientsOf('encoder')).length).toBe((await gradientsOf('encoder.params')).length + 1)
  })

  it('ends with the final norm also behind post-norm', async () => {
    const { output } = await answer(requestOf({ norm: 'post' }))
    expect(output).not.toEqual((await answer(requestOf({ norm: 'post', finalNorm: false }))).output)
  })
})
