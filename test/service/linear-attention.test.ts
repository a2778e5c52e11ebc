/**
 * The recurrences beside the reference evaluator of ONNX's LinearAttention, opset 27, which computes in float32
 * (test/fixtures/make-linear-attention-fixtures.py); what may not stand together; every codec, plans and the stream.
 */
import { readFileSync } from 'node:fs'
import request from 'supertest'
import { describe, expect, it } from 'vitest'
import { float32, readFileTensors, values, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

interface Tensor {
  shape: number[]
  data: number[]
}

interface Case {
  name: string
  attributes: { q_num_heads: number; kv_num_heads: number; update_rule: string; scale?: number }
  inputs: Record<string, Tensor>
  outputs: Record<string, Tensor>
}

const { cases }: { cases: Case[] } = JSON.parse(
  readFileSync(new URL('../fixtures/linear-attention.json', import.meta.url), 'utf8'),
)
const server = await startServer()
const PATH = '/v1/attention'

/** [B, T, H·d] → [B, H, T, d], or back. */
function unpack({ shape: [b, t, width], data }: Tensor, heads: number): Tensor {
  const d = width / heads
  const shape = [b, heads, t, d]
  const at = (index: number) => {
    const [x, i, rest] = [index % d, Math.floor(index / d) % t, Math.floor(index / (d * t))]
    const [h, batch] = [rest % heads, Math.floor(rest / heads)]
    return data[((batch * t + i) * heads + h) * d + x]
  }
  return { shape, data: data.map((_, index) => at(index)) }
}

function bodyOf({ attributes, inputs }: Case) {
  const { q_num_heads: heads, kv_num_heads: kvHeads, update_rule: rule, scale } = attributes
  const { decay, beta, past_state: s } = inputs
  const gates = { ...(decay && { decay }), ...(beta && { beta }) }
  return {
    q: unpack(inputs.query, heads),
    k: unpack(inputs.key, kvHeads),
    v: unpack(inputs.value, kvHeads),
    attention_kind: rule === 'linear' ? { kind: 'linear', feature: 'identity' } : { kind: rule, gates },
    causal: true,
    scale,
    ...(s && { state: { s } }),
    return: ['output', 'state'],
    encoding: 'flat',
  }
}

function expectClose(found: Tensor, expected: Tensor): void {
  expect(found.shape).toEqual(expected.shape)
  const worst = expected.data.reduce((most, x, i) => Math.max(most, Math.abs(x - found.data[i])), 0)
  expect(worst).toBeLessThan(3e-6 * expected.data.reduce((most, x) => Math.max(most, Math.abs(x)), 1))
}

describe('ONNX’s reference evaluator gives the same', () => {
  it.each(cases)('$name', async onnx => {
    for (const precision of ['float32', 'float64']) {
      const { status, body } = await post(server, PATH, { ...bodyOf(onnx), precision })
      expect(status, JSON.stringify(body)).toBe(200)
      expectClose(body.output, unpack(onnx.outputs.output, onnx.attributes.q_num_heads))
      expectClose(body.state.s, onnx.outputs.present_state)
      expect(body.approximation).toBe(onnx.attributes.update_rule)
    }
  })

  it('with causal left out, which these kinds imply, and under another name', async () => {
    const onnx = cases.find(({ name }) => name === 'gated by dimension') as Case
    const { causal: _, ...body } = bodyOf(onnx)
    const gates = body.attention_kind.gates
    const answer = await post(server, PATH, { ...body, attention_kind: { kind: 'gated_linear', gates } })
    expectClose(answer.body.output, unpack(onnx.outputs.output, 4))
    expect(answer.body.approximation).toBe('gated')
  })
})

const [B, H, KV, N, D] = [2, 4, 2, 6, 4]
const filled = (...shape: number[]) => {
  const count = shape.reduce((a, b) => a * b, 1)
  return { shape, data: Array.from({ length: count }, (_, i) => Math.sin(1 + i * 0.7) / 2) }
}
const negative = ({ shape, data }: Tensor) => ({ shape, data: data.map(x => -Math.abs(x)) })
const gates = { decay: negative(filled(B, N, KV * D)), beta: filled(B, N, KV) }
const gatedDelta = { kind: 'gated_delta', gates }
const qkv = { q: filled(B, H, N, D), k: filled(B, KV, N, D), v: filled(B, KV, N, D) }
const whole = { ...qkv, attention_kind: gatedDelta }
const { decay, beta } = gates

describe('a 400 names the fields', () => {
  const at = (name: string) => `/attention_kind/gates/${name}`
  const kind = (name: string, own?: object) => ({ attention_kind: { kind: name, gates: own } })
  const WRONG: [string, object, string[], RegExp][] = [
    [
      'a name alone',
      { attention_kind: 'gated' },
      ['/attention_kind'],
      /gates.decay beside "attention_kind":"gated"/,
    ],
    [
      'no gates',
      kind('gated_delta'),
      ['/attention_kind/gates'],
      /gates.decay beside "attention_kind":"gated_delta"/,
    ],
    ['empty gates', kind('delta', {}), [at('beta')], /gates.beta beside "attention_kind":"delta", got none/],
    ['no beta', kind('gated_delta', { decay }), [at('beta')], /"gated_delta", got none/],
    ['beta with gated', kind('gated', { decay, beta }), [at('beta'), '/attention_kind/kind'], /no beta/],
    ['decay with delta', kind('delta', { decay, beta }), [at('decay'), '/attention_kind/kind'], /no decay/],
    ['gates with linear', kind('linear', { decay }), ['/attention_kind/gates'], /no such field/],
    ['an unknown gate', kind('gated', { decay, gamma: decay }), [at('gamma')], /no such field/],
    [
      'a feature of gated',
      { attention_kind: { kind: 'gated', gates: { decay }, feature: 'relu' } },
      ['/attention_kind/feature'],
      /no such field/,
    ],
    [
      'an unknown feature',
      { attention_kind: { kind: 'linear', feature: 'elu' } },
      ['/attention_kind/feature'],
      /"elu1", "relu", "identity"/,
    ],
    ['no causality', { causal: false }, ['/causal', '/attention_kind'], /expected causal attention/],
    [
      'another width of decay',
      kind('gated', { decay: filled(B, N, 3) }),
      [`${at('decay')}/shape`],
      /\[2, 6, 2\] or \[2, 6, 8\], got \[2, 6, 3\]/,
    ],
    [
      'heads first',
      kind('gated', { decay: filled(B, KV, N, D) }),
      [`${at('decay')}/shape`],
      /\[2, 6, 2\] or/,
    ],
    [
      'another length of beta',
      kind('delta', { beta: filled(B, N - 1, KV) }),
      [`${at('beta')}/shape`],
      /expected \[2, 6, 2\], got \[2, 5, 2\]/,
    ],
    [
      'more keys than queries',
      { k: filled(B, KV, 7, D), v: filled(B, KV, 7, D) },
      ['/k', '/q'],
      /as many keys as queries/,
    ],
    ['a past', { past_k: filled(B, KV, 1, D), past_v: filled(B, KV, 1, D) }, ['/past_k'], /"gated_delta"/],
    ['a prefix', { causal: true, prefix_lengths: [1, 1] }, ['/prefix_lengths'], /"gated_delta"/],
    ['a window', { window: { left: 1 } }, ['/window'], /"gated_delta"/],
    ['a mask', { mask: [[true]] }, ['/mask'], /"gated_delta"/],
    ['a softcap', { softcap: 1 }, ['/softcap'], /"gated_delta"/],
    ['dropout', { dropout: { p: 0.1 } }, ['/dropout'], /"gated_delta"/],
    [
      'segments',
      {
        segments: {
          q: [
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
          ],
        },
      },
      ['/segments'],
      /"gated_delta"/,
    ],
    ['weights', { return: ['output', 'weights'] }, ['/return/1'], /"gated_delta"/],
    ['a present', { return: ['present_k'] }, ['/return/0'], /"gated_delta"/],
    [
      'entropies in the loss',
      { backward: { grad_output: qkv.q, entropy_weight: 1 } },
      ['/backward/entropy_weight'],
      /"gated_delta"/,
    ],
    [
      'a state of another shape',
      { state: { s: filled(B, KV, D, 3) } },
      ['/state/s/shape'],
      /expected \[2, 2, 4, 4\]/,
    ],
    ['a state without its tensor', { state: {} }, ['/state/s'], /got nothing/],
    [
      'a state of softmax',
      { attention_kind: 'softmax', state: { s: filled(1) } },
      ['/state', '/attention_kind'],
      /"softmax"/,
    ],
    [
      'the state of softmax',
      { attention_kind: 'softmax', return: ['state'] },
      ['/return/0', '/attention_kind'],
      /"softmax"/,
    ],
    [
      'a state and a past',
      { attention_kind: 'linear', state: {}, past_k: filled(B, KV, 1, D) },
      ['/state', '/past_k'],
      /got both/,
    ],
    [
      'a state to compare',
      { compare_exact: true, state: { s: filled(B, KV, D, D) } },
      ['/state', '/compare_exact'],
      /got both/,
    ],
    [
      'another kind’s state',
      { state: { s: filled(B, KV, D, D), k: filled(B, KV, 0, D) } },
      ['/state/k'],
      /no such tensor/,
    ],
    ['elu1 without its sums', { attention_kind: 'linear', state: {} }, ['/state/sums'], /got nothing/],
    [
      'a whole chunk of keys',
      {
        attention_kind: 'linear',
        state: { sums: filled(B, KV, D * (D + 2)), k: filled(B, KV, 96, D), v: filled(B, KV, 96, D) },
      },
      ['/state/k'],
      /expected \[2, 2, 0, 4\]/,
    ],
    [
      'lengths beside elu1’s state',
      { attention_kind: 'linear', kv_lengths: [1, 2], return: ['state'] },
      ['/return/0', '/kv_lengths'],
      /no kv_lengths beside a state/,
    ],
    [
      'keys that no row sees',
      {
        attention_kind: 'linear',
        causal: true,
        k: filled(B, KV, 7, D),
        v: filled(B, KV, 7, D),
        return: ['state'],
      },
      ['/causal'],
      /"bottom_right"/,
    ],
    [
      'a gradient of what is not there',
      { backward: { grad_output: qkv.q, wrt: ['state'] } },
      ['/backward/wrt/0'],
      /attention_kind.gates.decay/,
    ],
  ]

  it.each(WRONG)('%s', async (_name, more, paths, message) => {
    const { status, body } = await post(server, PATH, { ...whole, ...more })
    expect(status, JSON.stringify(body)).toBe(400)
    const places = body.errors.map(({ path }: { path: string }) => path.replace(/\/shape$/, ''))
    expect(places).toEqual(paths.map(path => path.replace(/\/shape$/, '')))
    expect(body.detail).toMatch(message)
  })

  it('of stacks too', async () => {
    const x = filled(B, N, 8)
    const stack = { layers: 2, heads: 2, init: { seed: 1 } }
    const own = { attention_kind: { kind: 'delta', gates: { beta } } }
    const refuse = async (body: object, paths: string[]) => {
      const answer = await post(server, '/v1/transformer', { x, stack, ...own, ...body })
      expect(answer.status, JSON.stringify(answer.body)).toBe(400)
      expect(answer.body.errors.map(({ path }: { path: string }) => path)).toEqual(paths)
    }
    await refuse({ stack: { ...stack, causal: false } }, ['/stack/causal', '/attention_kind'])
    const states = { 'layers.0.s': filled(B, 2, 4, 4), 'layers.1.s': filled(B, 2, 4, 4) }
    await refuse({ state: states }, ['/state/position'])
    await refuse({ state: { ...states, position: [-1] } }, ['/state/position'])
    await refuse({ state: { ...states, position: [0.5] } }, ['/state/position'])
    await refuse({ state: { position: [0], 'layers.0.s': states['layers.0.s'] } }, ['/state/layers.1.s'])
    await refuse({ state: { ...states, position: [0], 'layers.2.s': states['layers.0.s'] } }, [
      '/state/layers.2.s',
    ])
    const identity = { attention_kind: { kind: 'linear', feature: 'identity' } }
    await refuse({ ...identity, return: ['state'] }, ['/return/0', '/stack/causal'])
    await refuse({ ...identity, state: { ...states, position: [0] } }, ['/state', '/stack/causal'])
    const drawn = await post(server, '/v1/transformer', { x, stack, return: ['params'] })
    const params = { ...drawn.body.params, 'layers.1.attention.sinks': [0, 0] }
    const { init: _, ...given } = stack
    await refuse({ stack: { ...given, params } }, ['/stack/params/layers.1.attention.sinks'])
    const past = { 'layers.0.k': filled(B, 2, 1, 4) }
    await refuse({ stack: { ...stack, causal: true }, past }, ['/past/layers.0.v'])
  })
})

describe('padding', () => {
  it('changes nothing, whatever stands there, and its rows are zeros', async () => {
    const lengths = [4, 0]
    const cut = (x: Tensor, axis: number): Tensor => {
      const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1)
      const outer = x.data.length / (inner * N)
      const rows = outer / B
      return {
        ...x,
        data: x.data.map((value, i) => {
          const b = Math.floor(i / (inner * N * rows))
          return Math.floor(i / inner) % N < lengths[b] ? value : Number.NaN
        }),
      }
    }
    const hidden = {
      q: cut(qkv.q, 2),
      k: cut(qkv.k, 2),
      v: cut(qkv.v, 2),
      attention_kind: { kind: 'gated_delta', gates: { decay: cut(decay, 1), beta: cut(beta, 1) } },
    }
    const more = {
      q_lengths: lengths,
      kv_lengths: lengths,
      return: ['output', 'state'],
      non_finite: 'propagate',
      encoding: 'flat',
    }
    for (const precision of ['float32', 'float64']) {
      const backward = { grad_output: filled(B, H, N, D) }
      const plain = await post(server, PATH, { ...whole, ...more, precision, backward })
      const text = JSON.stringify({
        ...hidden,
        ...more,
        precision,
        backward: { grad_output: cut(backward.grad_output, 2) },
      }).replaceAll('null', '"NaN"')
      const answer = await post(server, PATH, text)
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      expect(answer.body).toEqual(plain.body)
      const { output, grads, state } = answer.body
      expect(output.data.slice(H * N * D).every((x: number) => x === 0)).toBe(true)
      expect(output.data.slice(0, D).every((x: number) => x !== 0)).toBe(true)
      expect(grads.k.data.slice(KV * N * D).every((x: number) => x === 0)).toBe(true)
      expect(state.s.data.slice(KV * D * D)).toEqual(Array(KV * D * D).fill(0))
    }
  })
})

describe('every way in and out', () => {
  it('safetensors', async () => {
    const backward = { grad_output: filled(B, H, N, D), wrt: ['q', 'attention_kind.gates', 'state'] }
    const fields = { return: ['output', 'state'], backward }
    const state = { s: filled(B, KV, D, D) }
    const json = await post(server, PATH, { ...whole, state, ...fields, encoding: 'flat' })
    expect(json.status, JSON.stringify(json.body)).toBe(200)
    const tensors = Object.entries({
      ...qkv,
      'attention_kind.gates.decay': decay,
      'attention_kind.gates.beta': beta,
      'state.s': state.s,
      'backward.grad_output': backward.grad_output,
    }).map(([name, { data, shape }]) => [name, float32(data, shape)])
    const meta = {
      attention_kind: { kind: 'gated_delta' },
      return: fields.return,
      backward: { wrt: backward.wrt },
    }
    const file = writeFile(Object.fromEntries(tensors), { request: JSON.stringify(meta) })
    const response = await request(server.url)
      .post(PATH)
      .set({ 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE })
      .send(file)
      .buffer()
      .parse((stream, done) => {
        const chunks: Buffer[] = []
        stream.on('data', chunk => chunks.push(chunk))
        stream.on('end', () => done(null, Buffer.concat(chunks)))
      })
    expect(response.status).toBe(200)
    const found = readFileTensors(response.body).tensors
    const { output, state: left, grads } = json.body
    expect(Object.keys(found).sort()).toEqual([
      'grads.attention_kind.gates.beta',
      'grads.attention_kind.gates.decay',
      'grads.q',
      'grads.state.s',
      'output',
      'state.s',
    ])
    const expected: [string, Tensor][] = [
      ['output', output],
      ['state.s', left.s],
      ['grads.q', grads.q],
      ['grads.state.s', grads.state.s],
      ['grads.attention_kind.gates.decay', grads.attention_kind.gates.decay],
      ['grads.attention_kind.gates.beta', grads.attention_kind.gates.beta],
    ]
    for (const [name, tensor] of expected) {
      expect(found[name].shape).toEqual(tensor.shape)
      expect(values(found[name])).toEqual(tensor.data.map(Math.fround))
    }
  })

  it('a plan tells the shapes of the answer', async () => {
    const shapes = (x: Tensor) => ({ shape: x.shape })
    const body = {
      q: shapes(qkv.q),
      k: shapes(qkv.k),
      v: shapes(qkv.v),
      attention_kind: { kind: 'gated_delta', gates: { decay: shapes(decay), beta: shapes(beta) } },
      state: { s: { shape: [B, KV, D, D] } },
      return: ['output', 'state'],
      backward: { grad_output: { shape: [B, H, N, D] } },
    }
    const plan = await post(server, '/v1/plan', { endpoint: PATH, body })
    expect(plan.status, JSON.stringify(plan.body)).toBe(200)
    expect(plan.body.shapes).toEqual({
      output: [B, H, N, D],
      'state.s': [B, KV, D, D],
      'grads.q': [B, H, N, D],
      'grads.k': [B, KV, N, D],
      'grads.v': [B, KV, N, D],
      'grads.attention_kind.gates.decay': [B, N, KV * D],
      'grads.attention_kind.gates.beta': [B, N, KV],
    })
    expect(plan.body.flops).toBeGreaterThan(0)
  })

  it('the stream hands on a state', async () => {
    const x = filled(B, N, 8)
    const stack = { layers: 2, heads: 2, position: 'rope', init: { seed: 1 } }
    const own = { attention_kind: { kind: 'delta', gates: { beta } } }
    const body = { x, stack, ...own, encoding: 'flat' }
    const rest = await post(server, '/v1/transformer', { ...body, return: ['output', 'state'] })
    expect(rest.status, JSON.stringify(rest.body)).toBe(200)
    const client = await StreamClient.open(server)
    client.send({ type: 'start', id: 'a', ...body, emit: ['state'] })
    const done = await client.until(({ type }) => type === 'done' || type === 'error')
    const layers = client.messages.filter(({ type }) => type === 'layer').map(({ tensors }) => tensors.state)
    expect({ ...layers[0], ...layers[1], ...done.state }).toEqual(rest.body.state)
    expect(done.state.position).toEqual({ shape: [1], dtype: 'float64', data: [N] })
    expect(done.output).toEqual(rest.body.output)
    client.send({ type: 'start', id: 'b', ...body, emit: ['weights'] })
    const refused = await client.until(({ id, type }) => id === 'b' && type === 'error')
    expect(refused.problem.detail).toMatch(
      /"delta" has \(output, grad_output, grad_params, state\), got "weights"/,
    )
    client.send({ type: 'start', id: 'c', ...body, attention_kind: 'softmax', emit: ['state'] })
    const softmax = await client.until(({ id, type }) => id === 'c' && type === 'error')
    expect(softmax.problem.detail).toMatch(/has a state, got "softmax"/)
    client.socket.close()
  })
})
