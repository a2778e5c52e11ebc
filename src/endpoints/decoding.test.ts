/** Decoding token by token with a past gives what one causal pass over the whole sequence gives. */
import { expect, it } from 'vitest'
import { type Body, drawer, expectGradients, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

const N = 7
const OPTIONS: [string, Body][] = [
  ['plain', {}],
  ['rope', { rope: { interleaved: true } }],
  ['qk-norm and rope', { qk_norm: 'l2', rope: {} }],
  ['window', { window: { left: 2 } }],
  ['ALiBi', { alibi: true }],
  ['softcap', { softcap: 3 }],
]

/** Positions [from, to) of a tensor […, positions, dim]. */
function positions({ shape, data }: Flat, from: number, to: number): Flat {
  const [n, dim] = shape.slice(-2)
  const rows = data.length / dim
  const kept = Array.from({ length: rows }, (_, row) => row).filter(row => row % n >= from && row % n < to)
  return {
    shape: [...shape.slice(0, -2), to - from, dim],
    data: kept.flatMap(row => data.slice(row * dim, (row + 1) * dim)),
  }
}

/** Tokens in steps of one, then two, …: the answers' outputs side by side, and the last present. */
async function decode(path: string, whole: Body, sequences: string[]) {
  const outputs: Flat[] = []
  let past: Body = {}
  let at = 0
  for (let size = 1; at < N; size++) {
    const end = Math.min(N, at + size)
    const part = Object.fromEntries(sequences.map(name => [name, positions(whole[name] as Flat, at, end)]))
    const { tensors } = await runProgram(path, {
      ...whole,
      ...part,
      ...past,
      return: ['output', 'present_k', 'present_v'],
    })
    outputs.push(tensors.output)
    past = { past_k: tensors.present_k, past_v: tensors.present_v }
    at = end
  }
  return { outputs, past }
}

const CAUSAL = { layers: 2, heads: 4, kv_heads: 2, causal: true, init: { seed: 3, bias: true } }
const STACKS: [string, Body, Body?][] = [
  ['plain', {}],
  [
    'rope and windows by layer',
    { rope: [{ base: 30 }, null], window: [null, { left: 2 }], norm: 'sandwich' },
  ],
  ['sinusoidal', { position: 'sinusoidal', norm: 'pre' }],
  ['ALiBi', { position: 'alibi' }],
  ['qk-norm, softcap, head_dim', { rope: {}, head_dim: 6, softcap: 3 }, { qk_norm: 'l2' }],
  ['linear', {}, { attention_kind: 'linear' }],
]

it.each(STACKS)('a stack: %s', async (_name, stack, beside = {}) => {
  const draw = drawer(5)
  const body = { stack: { ...CAUSAL, ...stack }, x: draw(2, N, 8), precision: 'float64', ...beside }
  const context = { context: draw(2, 3, 5), context_lengths: [3, 1] }
  for (const more of [{}, context]) {
    const whole = await runProgram('/v1/transformer', { ...body, ...more, return: ['output', 'present'] })
    const outputs: Flat[] = []
    let past: Record<string, Flat> | undefined
    for (let size = 1, at = 0; at < N; at += size++) {
      const x = positions(body.x, at, Math.min(N, at + size))
      const part = await runProgram('/v1/transformer', {
        ...body,
        ...more,
        x,
        past,
        return: ['output', 'present'],
      })
      const { output, ...present } = part.tensors
      outputs.push(output)
      past = Object.fromEntries(
        Object.entries(present).map(([name, tensor]) => [name.slice('present.'.length), tensor]),
      )
    }
    expectParts(outputs, whole.tensors.output)
    expect(Object.keys(past ?? {})).toEqual(['layers.0.k', 'layers.0.v', 'layers.1.k', 'layers.1.v'])
    expectParts([past?.['layers.1.k'] as Flat], whole.tensors['present.layers.1.k'])
  }
})

it('a stack: the gradients of a past, and its places in maps', async () => {
  const draw = drawer(6)
  const names = ['layers.0.k', 'layers.0.v', 'layers.1.k', 'layers.1.v']
  const body: Body = {
    stack: { ...CAUSAL, position: 'rope' },
    x: draw(2, 3, 8),
    past: Object.fromEntries(names.map(name => [name, draw(2, 2, 4, 2)])),
    mask: draw(3, 7),
    kv_lengths: [7, 6],
    precision: 'float64',
    backward: { target: draw(2, 3, 8), wrt: ['x', 'past', 'mask'] },
  }
  const found = await expectGradients('/v1/transformer', body, [1, 14, 29])
  expect(found).toEqual(['x', 'mask', ...names.map(name => `past.${name}`)])
  const { tensors } = await runProgram('/v1/transformer', { ...body, return: ['weights'] })
  expect(tensors['layers.1.weights'].shape).toEqual([2, 4, 3, 7])
  expect(
    (await runProgram('/v1/transformer', { ...body, checkpoint: true, return: ['weights'] })).tensors,
  ).toEqual(tensors)
})

it('a stack: a past of length 0 is a past', async () => {
  const draw = drawer(7)
  const empty = { shape: [2, 0, 2], data: [] }
  const past = Object.fromEntries(['0.k', '0.v', '1.k', '1.v'].map(name => [`layers.${name}`, empty]))
  const body = { stack: CAUSAL, x: draw(3, 8), backward: { target: draw(3, 8), wrt: ['past'] } }
  const { tensors } = await runProgram('/v1/transformer', { ...body, past })
  expect(tensors['grads.past.layers.1.v']).toEqual(empty)
  expect(tensors.output).toEqual(
    (await runProgram('/v1/transformer', { ...body, backward: undefined })).tensors.output,
  )
})

function expectParts(outputs: Flat[], whole: Flat): void {
  let at = 0
  for (const part of outputs) {
    const end = at + (part.shape.at(-2) as number)
    const expected = positions(whole, at, end)
    expect(part.shape).toEqual(expected.shape)
    for (const [i, value] of part.data.entries()) expect(value).toBeCloseTo(expected.data[i], 12)
    at = end
  }
}

it.each(OPTIONS)('attention: %s', async (_name, options) => {
  const draw = drawer(3)
  const body = {
    q: draw(2, 4, N, 6),
    k: draw(2, 2, N, 6),
    v: draw(2, 2, N, 5),
    causal: true,
    precision: 'float64',
    ...options,
  }
  const whole = await runProgram('/v1/attention', { ...body, return: ['output', 'present_k'] })
  const { outputs, past } = await decode('/v1/attention', body, ['q', 'k', 'v'])
  expectParts(outputs, whole.tensors.output)
  expect((past.past_k as Flat).shape).toEqual([2, 2, N, 6])
  expectParts([past.past_k as Flat], whole.tensors.present_k)
  expectParts([past.past_v as Flat], body.v)
})

it.each(OPTIONS)('multi-head attention: %s', async (_name, options) => {
  const draw = drawer(4)
  const body = {
    x: draw(N, 8),
    heads: 4,
    kv_heads: 2,
    init: { seed: 3, bias: true },
    causal: true,
    precision: 'float64',
    ...options,
  }
  const whole = await runProgram('/v1/multi-head-attention', { ...body, return: ['output'] })
  const { outputs } = await decode('/v1/multi-head-attention', body, ['x'])
  expectParts(outputs, whole.tensors.output)
})
