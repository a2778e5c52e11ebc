/** Packed sequences: the numbers of each sequence alone, to the bit, and nothing between sequences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'
import { Problem } from '../problem.ts'

const MAPS = ['weights', 'scores', 'softcapped_scores', 'masked_scores', 'dropped_weights']
const RETURNS = ['output', 'logsumexp', 'entropy', 'max_score', 'present_k', 'present_v', ...MAPS]

type Lengths = [queries: number, keys: number][]

function startsOf(lengths: number[]): number[] {
  const starts = [0]
  for (const length of lengths) starts.push(starts[starts.length - 1] + length)
  return starts
}

/** Positions [from, to) of a tensor [positions, heads, dim] as [1, heads, to − from, dim]. */
function sequence({ shape: [, heads, dim], data }: Flat, from: number, to: number): Flat {
  const rows: number[][] = []
  for (let h = 0; h < heads; h++) {
    for (let t = from; t < to; t++) rows.push(data.slice((t * heads + h) * dim, (t * heads + h + 1) * dim))
  }
  return { shape: [1, heads, to - from, dim], data: rows.flat() }
}

/** Rows [from, to) of [heads, positions, width], and of each its columns [left, right). */
function rowsOf({ shape, data }: Flat, from: number, to: number, left = 0, right = 1): number[] {
  const [heads, positions, width = 1] = shape
  const found: number[] = []
  for (let h = 0; h < heads; h++) {
    for (let t = from; t < to; t++) {
      const at = (h * positions + t) * width
      found.push(...data.slice(at + left, at + right))
    }
  }
  return found
}

interface Packed {
  body: Body
  lengths: Lengths
}

function packedBody(
  lengths: Lengths,
  [heads, kvHeads]: [number, number],
  options: Body,
  seed: number,
): Packed {
  const draw = drawer(seed)
  const t = startsOf(lengths.map(([n]) => n))
  const s = startsOf(lengths.map(([, m]) => m))
  const [queries, keys] = [t[lengths.length], s[lengths.length]]
  const body = {
    q: draw(queries, heads, 6),
    k: draw(keys, kvHeads, 6),
    v: draw(keys, kvHeads, 5),
    cu_seqlens_q: t,
    cu_seqlens_k: s,
    return: RETURNS,
    backward: { grad_output: draw(queries, heads, 5) },
    jvp: {
      q: draw(queries, heads, 6),
      k: draw(keys, kvHeads, 6),
      v: draw(keys, kvHeads, 5),
      ...(options.sinks !== undefined && { sinks: draw(heads) }),
    },
    ...options,
    ...(options.sinks !== undefined && { sinks: draw(heads) }),
    ...(options.relative_bias !== undefined && {
      relative_bias: { ...(options.relative_bias as Body), table: draw(8, heads) },
    }),
  }
  return { body, lengths }
}

/** The same request for sequence s alone. */
function alone({ q, k, v, cu_seqlens_q, cu_seqlens_k, backward, jvp, ...options }: Body, s: number): Body {
  const [t, u] = [cu_seqlens_q, cu_seqlens_k] as number[][]
  const { grad_output } = backward as { grad_output: Flat }
  const inputs = ({ q, k, v }: Body) => ({
    q: sequence(q as Flat, t[s], t[s + 1]),
    k: sequence(k as Flat, u[s], u[s + 1]),
    v: sequence(v as Flat, u[s], u[s + 1]),
  })
  return {
    ...options,
    ...inputs({ q, k, v }),
    jvp: { ...(jvp as Body), ...inputs(jvp as Body) },
    backward: { ...(backward as Body), grad_output: sequence(grad_output, t[s], t[s + 1]) },
  }
}

async function expectAlone({ body, lengths }: Packed): Promise<void> {
  const { tensors } = await runProgram('/v1/attention', body)
  const [t, u] = [body.cu_seqlens_q, body.cu_seqlens_k] as number[][]
  const largest: number[][] = []
  const summed: Record<string, number[][]> = { 'grads.sinks': [], 'grads.relative_bias.table': [] }
  for (let s = 0; s < lengths.length; s++) {
    const expected = (await runProgram('/v1/attention', alone(body, s))).tensors
    const [rows, keys] = [
      [t[s], t[s + 1]],
      [u[s], u[s + 1]],
    ] as [number, number][]
    for (const [name, { data }] of Object.entries(expected)) {
      const whole = tensors[name]
      const message = `${name} of sequence ${s}: ${JSON.stringify(lengths)}`
      if (MAPS.includes(name.replace('jvp.', '')))
        expect(rowsOf(whole, ...rows, ...keys), message).toEqual(data)
      else if (name === 'max_score') largest.push(data)
      else if (name in summed) summed[name].push(data)
      else if (name.endsWith('logsumexp') || name === 'entropy')
        expect(rowsOf(whole, ...rows), message).toEqual(data)
      else {
        const ofKeys = /^(grads\.[kv]|present_[kv])$/.test(name)
        expect(sequence(whole, ...(ofKeys ? keys : rows)).data, message).toEqual(data)
      }
    }
  }
  const over = (all: number[][], h: number) => all.map(one => one[h])
  for (const [h, most] of (tensors.max_score?.data ?? []).entries())
    expect(most).toBe(Math.max(...over(largest, h)))
  for (const [name, all] of Object.entries(summed)) {
    for (const [h, sum] of (tensors[name]?.data ?? []).entries()) {
      const expected = over(all, h).reduce((a, b) => a + b)
      expect(Math.abs(sum - expected), name).toBeLessThan(1e-5)
    }
  }
}

const OPTIONS: Record<string, Body> = {
  plain: {},
  'causal top left': { causal: true },
  'causal bottom right, alibi': { causal: 'bottom_right', alibi: true },
  window: { window: { left: 3, right: 1 } },
  'window, bottom right, softcap': { window: { left: 20 }, causal: 'bottom_right', softcap: 2 },
  'sinks, causal': { sinks: true, causal: true },
  'relative bias': { relative_bias: { max_distance: 20 } },
  'relative bias, bottom right': {
    relative_bias: { max_distance: 9, bidirectional: false },
    causal: 'bottom_right',
  },
  'alibi alone': { alibi: true, scale: 0.3 },
  rope: { rope: { dims: 4, q_offset: 3 }, causal: true },
  'dynamic rope, qk_norm': {
    rope: { scaling: { rope_type: 'dynamic', factor: 2, max_position_embeddings: 400 } },
    qk_norm: 'l2',
  },
  local: { attention_kind: { kind: 'local', window: 5 } },
  'blocks, causal': { attention_kind: { kind: 'block', size: 7, previous: true }, causal: true },
  'propagates NaN': { non_finite: 'propagate' },
}

const length = fc.oneof(fc.integer({ min: 0, max: 30 }), fc.constantFrom(0, 1, 24, 97, 129))
const drawn = fc.record({
  lengths: fc.array(fc.tuple(length, length), { minLength: 1, maxLength: 5 }),
  heads: fc.constantFrom<[number, number]>([1, 1], [4, 2], [3, 1]),
  seed: fc.nat(),
})

describe.each(['float32', 'float64'])('packed sequences in %s', precision => {
  it.each(Object.entries(OPTIONS))('have the bits of each alone: %s', async (_name, options) => {
    await fc.assert(
      fc.asyncProperty(drawn, ({ lengths, heads, seed }) =>
        expectAlone(packedBody(lengths, heads, { precision, ...options }, seed)),
      ),
      { numRuns: precision === 'float32' ? 12 : 5 },
    )
  })

  it('of keys in one part and in several', async () => {
    const lengths: Lengths = [
      [3, 600],
      [0, 5],
      [2, 1],
      [4, 400],
    ]
    await expectAlone(packedBody(lengths, [4, 2], { precision, return: ['output'] }, 3))
  })

  it('have gradients of their weights and logsumexp', async () => {
    const lengths: Lengths = [
      [3, 4],
      [0, 2],
      [30, 99],
      [5, 1],
    ]
    const heads = 2
    const { body } = packedBody(lengths, [heads, 1], { precision, causal: true, return: ['output'] }, 11)
    const [t, u] = [body.cu_seqlens_q, body.cu_seqlens_k] as number[][]
    const draw = drawer(12)
    const [n, m] = [t[lengths.length], u[lengths.length]]
    const more = { grad_weights: draw(heads, n, m), grad_logsumexp: draw(heads, n), entropy_weight: 0 }
    const { tensors } = await runProgram('/v1/attention', {
      ...body,
      backward: { ...(body.backward as Body), ...more },
    })
    for (let s = 0; s < lengths.length; s++) {
      const [rows, keys] = [
        [t[s], t[s + 1]],
        [u[s], u[s + 1]],
      ] as [number, number][]
      const [own, ofKeys] = lengths[s]
      const one = alone(body, s)
      const grad_weights = {
        shape: [1, heads, own, ofKeys],
        data: rowsOf(more.grad_weights, ...rows, ...keys),
      }
      const grad_logsumexp = { shape: [1, heads, own], data: rowsOf(more.grad_logsumexp, ...rows) }
      const backward = { ...(one.backward as Body), grad_weights, grad_logsumexp, entropy_weight: 0 }
      const expected = (await runProgram('/v1/attention', { ...one, backward })).tensors
      expect(sequence(tensors['grads.q'], ...rows).data, `q of ${s}`).toEqual(expected['grads.q'].data)
      expect(sequence(tensors['grads.k'], ...keys).data, `k of ${s}`).toEqual(expected['grads.k'].data)
    }
  })

  it('are the same bits however their units are cut', async () => {
    const { body } = packedBody(
      [
        [60, 200],
        [3, 2],
        [0, 1],
        [130, 97],
      ],
      [2, 1],
      { precision, causal: true },
      5,
    )
    const whole = await runProgram('/v1/attention', body)
    expect((await runProgram('/v1/attention', body, 1)).tensors).toEqual(whole.tensors)
  })

  it('have zeros and −∞ between them', async () => {
    const { body } = packedBody(
      [
        [2, 1],
        [1, 2],
      ],
      [1, 1],
      { precision },
      4,
    )
    const { tensors } = await runProgram('/v1/attention', body)
    const outside = (name: string) => {
      const { data } = tensors[name]
      return [data[1], data[2], data[4], data[5], data[6]]
    }
    expect(tensors.weights.shape).toEqual([1, 3, 3])
    for (const name of ['weights', 'dropped_weights', 'jvp.weights'])
      expect(outside(name)).toEqual([0, 0, 0, 0, 0])
    const nothing = new Array(5).fill(Number.NEGATIVE_INFINITY)
    for (const name of ['scores', 'masked_scores']) expect(outside(name)).toEqual(nothing)
    expect(tensors.output.shape).toEqual([3, 1, 5])
    expect(tensors.logsumexp.shape).toEqual([1, 3])
  })

  it('take one list for both sides, and positions of their own', async () => {
    const { body } = packedBody(
      [
        [5, 5],
        [2, 2],
      ],
      [2, 2],
      { precision },
      6,
    )
    const { cu_seqlens_k, ...without } = body
    const rope = { q_positions: [0, 1, 2, 3, 4, 0, 1], k_positions: [0, 1, 2, 3, 4, 0, 1] }
    const found = await runProgram('/v1/attention', { ...without, rope })
    expect(found.tensors).toEqual((await runProgram('/v1/attention', { ...body, rope: {} })).tensors)
  })

  it('drop weights of their own', async () => {
    const dropout = { p: 0.5, seed: 3 }
    const { body } = packedBody(
      [
        [40, 40],
        [40, 40],
      ],
      [1, 1],
      { precision, dropout },
      7,
    )
    const { dropped_weights: dropped } = (await runProgram('/v1/attention', body)).tensors
    const kept = (s: number) => rowsOf(dropped, 40 * s, 40 * s + 40, 40 * s, 40 * s + 40).map(x => x > 0)
    expect(kept(0)).not.toEqual(kept(1))
    for (const s of [0, 1]) {
      const share = kept(s).filter(Boolean).length / 1600
      expect(share).toBeGreaterThan(0.4)
      expect(share).toBeLessThan(0.6)
    }
  })

  it('add to one loss', async () => {
    const { body, lengths } = packedBody(
      [
        [5, 4],
        [0, 2],
        [3, 3],
      ],
      [2, 1],
      { precision },
      8,
    )
    const { grad_output: target } = body.backward as { grad_output: Flat }
    const backward = { target, entropy_weight: 0.5 }
    const { loss, tensors } = await runProgram('/v1/attention', { ...body, backward })
    const mean = tensors.entropy.data.reduce((sum, h) => sum + h, 0) / tensors.entropy.data.length
    let expected = 0.5 * mean
    for (let s = 0; s < lengths.length; s++) {
      const { backward: own, ...one } = alone(body, s)
      const { grad_output } = own as Body
      expected += (await runProgram('/v1/attention', { ...one, backward: { target: grad_output } })).loss ?? 0
    }
    expect(loss).toBeCloseTo(expected, precision === 'float32' ? 4 : 12)
  })

  it('may be none, or have no heads’ rows at all', async () => {
    for (const lengths of [[], [[0, 0]], [[0, 3]], [[3, 0]]] as Lengths[]) {
      await expectAlone(packedBody(lengths, [2, 1], { precision, causal: true }, 9))
    }
  })
})

describe('what is wrong with packed sequences', () => {
  const { body } = packedBody(
    [
      [2, 1],
      [1, 2],
    ],
    [1, 1],
    { return: ['output'], backward: undefined, jvp: undefined },
    4,
  )
  const q4 = { shape: [1, 1, 3, 6], data: (body.q as Flat).data }

  it.each<[string, Body, string[], string]>([
    ['starts', { cu_seqlens_q: [1, 2, 3] }, ['/cu_seqlens_q/0'], 'expected 0, where the first'],
    [
      'falls',
      { cu_seqlens_q: [0, 4, 3] },
      ['/cu_seqlens_q/2'],
      'expected at least 4, the element before it, got 3',
    ],
    ['ends', { cu_seqlens_k: [0, 1, 2] }, ['/cu_seqlens_k/2'], 'expected 3 (S, the number of keys), got 2'],
    ['no integer', { cu_seqlens_q: [0, 1.5, 3] }, ['/cu_seqlens_q/1'], 'got 1.5'],
    ['rank', { cu_seqlens_q: [[0, 2, 3]] }, ['/cu_seqlens_q'], 'expected [B + 1]'],
    ['count', { cu_seqlens_k: [0, 3] }, ['/cu_seqlens_k'], 'expected [3]'],
    [
      'too many',
      { cu_seqlens_q: { shape: [65538], data: new Array(65538).fill(0) } },
      ['/cu_seqlens_q/shape'],
      'at most 65536',
    ],
    ['alone', { cu_seqlens_q: undefined }, ['/cu_seqlens_k', '/cu_seqlens_q'], 'got none'],
    ['rank of q', { q: q4 }, ['/q/shape'], 'expected [T, H, d_k] beside cu_seqlens_q'],
    ['mask', { mask: [[true]] }, ['/cu_seqlens_q', '/mask'], 'got both'],
    ['lengths', { kv_lengths: [1] }, ['/cu_seqlens_q', '/kv_lengths'], 'got both'],
    ['q_lengths', { q_lengths: [1] }, ['/cu_seqlens_q', '/q_lengths'], 'got both'],
    ['past', { past_k: [[[1]]], past_v: [[[1]]] }, ['/cu_seqlens_q', '/past_k'], 'got both'],
    ['layout', { layout: 'bnhd' }, ['/cu_seqlens_q', '/layout'], 'got both'],
    ['linear', { attention_kind: 'linear' }, ['/cu_seqlens_q'], '"attention_kind":"linear"'],
    ['strided', { attention_kind: 'strided' }, ['/cu_seqlens_q'], '"attention_kind":"strided"'],
    ['lsh', { attention_kind: 'lsh' }, ['/cu_seqlens_q'], '"attention_kind":"lsh"'],
  ])('%s', async (_name, more, paths, message) => {
    const error = await runProgram('/v1/attention', { ...body, ...more }).catch(error => error)
    expect(error).toBeInstanceOf(Problem)
    expect(error.status).toBe(400)
    expect(error.errors.map(({ path }: { path: string }) => path)).toEqual(paths)
    expect(error.message).toContain(message)
  })

  it('as many keys as queries without cu_seqlens_k', async () => {
    const { cu_seqlens_k, ...without } = body
    const k = { shape: [2, 1, 6], data: new Array(12).fill(1) }
    const v = { shape: [2, 1, 5], data: new Array(10).fill(1) }
    const error = await runProgram('/v1/attention', { ...without, k, v }).catch(error => error)
    expect(error.errors.map(({ path }: { path: string }) => path)).toEqual(['/k', '/cu_seqlens_k'])
  })
})
