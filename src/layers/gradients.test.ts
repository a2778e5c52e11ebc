/** Whichever gradients are asked for, they are the same as among all of them, and no others are answered. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { drawer } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

const draw = drawer(77)

const MULTI_HEAD = {
  x: draw(2, 4, 6),
  context: draw(2, 5, 3),
  heads: 4,
  kv_heads: 2,
  mask: draw(4, 4, 7),
  ...{
    past_k: draw(2, 2, 2, 3),
    past_v: draw(2, 2, 2, 2),
    rope: { dims: 2 },
    qk_norm: 'l2',
    causal: 'bottom_right',
  },
  params: {
    w_q: draw(6, 12),
    w_k: draw(3, 6),
    w_v: draw(3, 4),
    w_o: draw(8, 5),
    b_q: draw(12),
    b_k: draw(6),
    b_v: draw(4),
    b_o: draw(5),
  },
  backward: { grad_output: draw(2, 4, 5), entropy_weight: 0.3 },
}
const SELF = {
  x: draw(4, 6),
  init: { bias: true },
  d_k: 3,
  d_v: 2,
  mask: draw(4, 6),
  past_k: draw(2, 3),
  past_v: draw(2, 2),
  backward: { grad_output: draw(4, 2) },
}
const stack = (norm: string, more: object) => ({
  x: draw(2, 4, 6),
  mask: draw(4, 4),
  dropout: { p: 0.2, seed: 1 },
  ...more,
  stack: {
    layers: 2,
    heads: 2,
    norm,
    activation: 'swiglu',
    position: 'rope',
    rope: { dims: 2 },
    init: { bias: true },
  },
  backward: { grad_output: draw(2, 4, 6), entropy_weight: 0.3 },
})
const INPUTS = ['x', 'mask']

it.each<[string, string, { backward: object }, string[]]>([
  [
    'multi-head attention',
    '/v1/multi-head-attention',
    MULTI_HEAD,
    [...INPUTS, 'context', 'past_k', 'past_v'],
  ],
  ['self-attention', '/v1/self-attention', SELF, [...INPUTS, 'past_k', 'past_v']],
  ['a post-norm stack', '/v1/transformer', stack('post', {}), INPUTS],
  ['a pre-norm stack, checkpointed', '/v1/transformer', stack('pre', { checkpoint: true }), INPUTS],
])('%s', async (_name, path, body, inputs) => {
  for (const precision of ['float64', 'float32']) {
    const gradientsOf = async (wrt: string[]) => {
      const request = { ...body, precision, return: [], backward: { ...body.backward, wrt } }
      const { tensors } = await runProgram(path, request)
      return Object.fromEntries(Object.entries(tensors).filter(([name]) => name.startsWith('grads.')))
    }
    const all = await gradientsOf([...inputs, 'params'])
    const names = Object.keys(all).map(name => name.slice('grads.'.length))
    expect(names).toEqual(expect.arrayContaining(inputs))
    for (const { data } of Object.values(all)) expect(data.every(Number.isFinite)).toBe(true)
    const subsets = fc.oneof(
      fc.constantFrom(...names).map(name => [name]),
      fc.subarray(names, { minLength: 1 }),
    )
    await fc.assert(
      fc.asyncProperty(subsets, async wrt => {
        const some = await gradientsOf(wrt)
        expect(Object.keys(some).sort()).toEqual(wrt.map(name => `grads.${name}`).sort())
        for (const [name, { data }] of Object.entries(some)) expect(data, name).toEqual(all[name].data)
      }),
      { numRuns: 60 },
    )
  }
})
