/** Decoding token by token with a past gives what one causal pass over the whole sequence gives. */
import { expect, it } from 'vitest'
import { type Body, drawer, type Flat } from '../../test/support/layer-cases.ts'
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
