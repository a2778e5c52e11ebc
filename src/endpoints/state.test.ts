/** Tokens in several requests, each with the state that the one before has answered, give the bits of one request. */
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

const N = 139
/** sizes of the requests: one token, more, and chunks of the kernels */
const PARTS = [1, 1, 5, 64, 68]
const [B, H, KV] = [2, 4, 2]

/** Positions [from, to) along an axis. */
function slice({ shape, data }: Flat, axis: number, from: number, to: number): Flat {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1)
  const n = shape[axis]
  const outer = data.length / (inner * n)
  return {
    shape: shape.map((extent, at) => (at === axis ? to - from : extent)),
    data: Array.from({ length: outer }, (_, o) =>
      data.slice((o * n + from) * inner, (o * n + to) * inner),
    ).flat(),
  }
}

const draw = drawer(11)
const map = (x: Flat, of: (value: number) => number): Flat => ({ ...x, data: x.data.map(of) })
/** As float32 has them, so that both precisions see the same. */
const given = (...shape: number[]) => map(draw(...shape), Math.fround)

const decay = (dim: number) => map(given(B, N, KV * dim), x => -Math.abs(x) / 8)
const beta = map(given(B, N, KV), x => 1 / (1 + x * x))
const KINDS: [string, (dim: number) => Body][] = [
  ['gated', dim => ({ kind: 'gated', gates: { decay: decay(dim) } })],
  ['gated by head', () => ({ kind: 'gated', gates: { decay: decay(1) } })],
  ['delta', () => ({ kind: 'delta', gates: { beta } })],
  ['gated_delta', dim => ({ kind: 'gated_delta', gates: { decay: decay(dim), beta } })],
  ['linear of elu1', () => ({ kind: 'linear' })],
  ['linear of relu', () => ({ kind: 'linear', feature: 'relu' })],
  ['linear of identity', () => ({ kind: 'linear', feature: 'identity' })],
]

/** The body with positions [from, to) of the tensors named, and of the gates. */
function part(body: Body, sequences: Record<string, number>, from: number, to: number): Body {
  const tensors = Object.entries(sequences).map(([name, axis]) => {
    return [name, slice(body[name] as Flat, axis, from, to)]
  })
  const { gates, ...kind } = body.attention_kind as Body & { gates?: Record<string, Flat> }
  const cut = Object.entries(gates ?? {}).map(([name, x]) => [name, slice(x, 1, from, to)])
  const own = gates === undefined ? {} : { gates: Object.fromEntries(cut) }
  return { ...body, ...Object.fromEntries(tensors), attention_kind: { ...kind, ...own } }
}

async function expectDecoded(path: string, body: Body, sequences: Record<string, number>, axis: number) {
  for (const precision of ['float64', 'float32']) {
    const whole = await runProgram(path, { ...body, precision, return: ['output', 'state'] })
    let state: Record<string, Flat> | undefined
    let from = 0
    for (const size of PARTS) {
      const request = part(body, sequences, from, from + size)
      const { tensors } = await runProgram(path, {
        ...request,
        precision,
        state,
        return: ['output', 'state'],
      })
      const { output, ...states } = tensors
      expect(output.data).toEqual(slice(whole.tensors.output, axis, from, from + size).data)
      const entries = Object.entries(states).map(([name, x]) => [name.slice('state.'.length), x])
      state = Object.fromEntries(entries)
      from += size
    }
    const { output: _, ...last } = whole.tensors
    expect(Object.fromEntries(Object.entries(state ?? {}).map(([name, x]) => [`state.${name}`, x]))).toEqual(
      last,
    )
  }
}

describe.each(KINDS)('%s', (_name, kindOf) => {
  it('in attention', async () => {
    const body = {
      q: given(B, H, N, 5),
      k: map(given(B, KV, N, 5), x => x / 2),
      v: given(B, KV, N, 18),
      attention_kind: kindOf(5),
      causal: true,
    }
    await expectDecoded('/v1/attention', body, { q: 2, k: 2, v: 2 }, 2)
  })

  it('in layers and stacks', async () => {
    const x = given(B, N, 8)
    const layer = { x, heads: H, kv_heads: KV, init: { seed: 3, bias: true }, causal: true, qk_norm: 'l2' }
    const own = { attention_kind: kindOf(2) }
    await expectDecoded('/v1/multi-head-attention', { ...layer, ...own }, { x: 1 }, 1)
    const stack = { layers: 2, heads: H, kv_heads: KV, causal: true, norm: 'pre', init: { seed: 4 } }
    for (const position of ['none', 'sinusoidal', 'rope']) {
      const body = { x, stack: { ...stack, position }, qk_norm: 'l2', ...own }
      await expectDecoded('/v1/transformer', body, { x: 1 }, 1)
    }
  })
})

it('the gradients of a stack’s gates add up over its layers, those of its states are apart', async () => {
  const n = 6
  const body: Body = {
    stack: { layers: 2, heads: H, kv_heads: KV, init: { seed: 4 } },
    x: draw(B, n, 8),
    attention_kind: {
      kind: 'gated_delta',
      gates: { decay: slice(decay(2), 1, 0, n), beta: slice(beta, 1, 0, n) },
    },
    state: { position: [3], 'layers.0.s': draw(B, KV, 2, 2), 'layers.1.s': draw(B, KV, 2, 2) },
    precision: 'float64',
    backward: { target: draw(B, n, 8), wrt: ['x', 'attention_kind', 'state'] },
  }
  for (const checkpoint of [false, true]) {
    const found = await expectGradients('/v1/transformer', { ...body, checkpoint }, [0, 5, 11])
    expect(found).toEqual([
      'x',
      'attention_kind.gates.decay',
      'attention_kind.gates.beta',
      'state.layers.0.s',
      'state.layers.1.s',
    ])
  }
})

it('gates of a layer without a batch have none either', async () => {
  const [n, dim] = [7, 6]
  const body: Body = {
    x: draw(n, dim),
    params: { w_q: draw(dim, dim), w_k: draw(dim, dim), w_v: draw(dim, dim) },
    attention_kind: { kind: 'gated', gates: { decay: map(draw(n, dim), x => -Math.abs(x)) } },
    state: { s: draw(dim, dim) },
    precision: 'float64',
    backward: { target: draw(n, dim), wrt: ['x', 'params.w_k', 'attention_kind.gates', 'state.s'] },
  }
  const found = await expectGradients('/v1/self-attention', body, [0, 5, 11])
  expect(found).toEqual(['x', 'attention_kind.gates.decay', 'state.s', 'params.w_k'])
})

it('states of linear attention hold features of any size', async () => {
  const far = (x: Flat) => map(x, (value: number) => value - 60)
  const body = {
    q: far(given(1, 2, N, 3)),
    k: map(given(1, 2, N, 3), x => x * 40 - 200),
    v: given(1, 2, N, 4),
    attention_kind: { kind: 'linear' },
    causal: true,
  }
  const sequences = { q: 2, k: 2, v: 2 }
  await expectDecoded('/v1/attention', body, sequences, 2)
})

it('the gradients behind a state of linear attention', async () => {
  const first = { q: draw(1, 2, 99, 3), k: draw(1, 2, 99, 3), v: draw(1, 2, 99, 4) }
  const more = { attention_kind: 'linear', causal: true, precision: 'float64' }
  const { tensors } = await runProgram('/v1/attention', { ...first, ...more, return: ['state'] })
  const state = { sums: tensors['state.sums'], k: tensors['state.k'], v: tensors['state.v'] }
  expect(state.k.shape).toEqual([1, 2, 3, 3])
  const next = { q: draw(1, 2, 5, 3), k: draw(1, 2, 5, 3), v: draw(1, 2, 5, 4) }
  const backward = { grad_output: draw(1, 2, 5, 4) }
  const found = await expectGradients('/v1/attention', { ...next, ...more, state, backward }, [0, 7, 13])
  expect(found).toEqual(['q', 'k', 'v'])
})

it('no tokens leave the state as it was, and the gradients of it zeros', async () => {
  for (const precision of ['float64', 'float32']) {
    for (const [kind, heads] of [
      ['gated_delta', 2],
      ['linear', 1],
    ] as const) {
      const state = { s: given(1, heads, 3, 4) }
      const gates = { decay: given(1, 0, heads), beta: given(1, 0, 1) }
      const { tensors } = await runProgram('/v1/attention', {
        q: given(1, 2, 0, 3),
        k: given(1, heads, 0, 3),
        v: given(1, heads, 0, 4),
        attention_kind: kind === 'linear' ? { kind, feature: 'relu' } : { kind, gates },
        state,
        precision,
        return: ['output', 'state'],
        backward: { grad_output: given(1, 2, 0, 4), wrt: ['k', 'state'] },
      })
      expect(tensors.output.shape).toEqual([1, 2, 0, 4])
      expect(tensors['state.s']).toEqual(state.s)
      expect(tensors['grads.k'].shape).toEqual([1, heads, 0, 3])
      expect(tensors['grads.state.s'].data).toEqual(Array(heads * 12).fill(0))
    }
  }
})

it('rows without keys read the state', async () => {
  const body = {
    q: given(1, 2, 3, 3),
    k: given(1, 1, 0, 3),
    v: given(1, 1, 0, 4),
    attention_kind: { kind: 'linear', feature: 'identity' },
    q_lengths: [2],
    precision: 'float64',
    scale: 1,
  }
  const s = given(1, 1, 3, 4)
  const { output } = (await runProgram('/v1/attention', { ...body, state: { s } })).tensors
  const row = (i: number, x: number) =>
    [0, 1, 2].reduce((sum, d) => sum + body.q.data[i * 3 + d] * s.data[d * 4 + x], 0)
  for (const i of [0, 1, 3, 4]) {
    expect(output.data[i * 4 + 1]).toBeCloseTo(row(i, 1), 12)
  }
  expect([...output.data.slice(8, 12), ...output.data.slice(20, 24)]).toEqual(Array(8).fill(0))
  const without = (await runProgram('/v1/attention', body)).tensors
  expect(without.output.data).toEqual(Array(24).fill(0))
})
