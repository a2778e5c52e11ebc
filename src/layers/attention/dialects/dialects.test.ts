/** Each dialect's reading, beside the same request in our own words. */
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../../../../test/support/numbers.ts'
import { runProgram } from '../../../../test/support/run-program.ts'

function draw(seed: number, ...shape: number[]) {
  const normal = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, () => Math.fround(normal())) }
}

const [B, H, N, M, D] = [2, 2, 3, 5, 4]
const heads = { q: draw(1, B, H, N, D), k: draw(2, B, 1, M, D), v: draw(3, B, 1, M, D) }
const positions = { q: draw(1, B, N, H, D), k: draw(2, B, M, 1, D), v: draw(3, B, M, 1, D) }
const x = draw(4, B, N, 4)
const layer = { x, heads: 2, init: { seed: 1 } }
const stack = { x, stack: { layers: 1, heads: 2, init: { seed: 1 }, causal: true } }
const open = Array.from({ length: N }, (_, i) => Array.from({ length: M }, (_, j) => (i + 2 * j) % 3 !== 0))
const square = Array.from({ length: N }, (_, i) => Array.from({ length: N }, (_, j) => (i + 2 * j) % 3 !== 0))
const shut = (mask: boolean[][]) => mask.map(row => row.map(one => !one))
const bool = (mask: boolean[][], ...shape: number[]) => ({
  shape,
  dtype: 'bool',
  data: Array.from({ length: shape.reduce((p, e) => p * e, 1) / mask.flat().length }, () =>
    mask.flat(),
  ).flat(),
})

async function same(path: string, dialect: object, ours: object) {
  const more = { precision: 'float64', return: ['output', 'weights'] }
  const [spoken, plain] = [
    await runProgram(path, { ...more, ...dialect }),
    await runProgram(path, { ...more, ...ours }),
  ]
  for (const [name, tensor] of Object.entries(plain.tensors)) expect(spoken.tensors[name]).toEqual(tensor)
  return spoken.program.facts.conventions as Record<string, unknown>
}

describe('attention', () => {
  const cases: [string, object, object][] = [
    ['torch-sdpa', { ...heads, causal: true, mask: open }, { ...heads, causal: 'top_left', mask: open }],
    ['flash-attn', { ...positions, causal: true }, { ...positions, layout: 'bnhd', causal: 'bottom_right' }],
    [
      'flash-attn',
      { ...positions, causal: true, window: [1, -1], kv_lengths: [4, 2] },
      { ...positions, layout: 'bnhd', causal: 'bottom_right', window: { left: 1 }, kv_lengths: [4, 2] },
    ],
    [
      'flash-attn',
      { ...positions, window: [0, 1] },
      { ...positions, layout: 'bnhd', window: { left: 0, right: 1, align: 'bottom_right' } },
    ],
    // ALiBi counts from the bottom right without causal, which no field of ours says: the distances are those of a longer past
    [
      'flash-attn',
      { ...positions, alibi: [0.5, 0.25] },
      {
        ...positions,
        layout: 'bnhd',
        mask: [0.5, 0.25].map(slope =>
          open.map((row, i) => row.map((_, j) => -slope * Math.abs(i + M - N - j))),
        ),
      },
    ],
    ['flash-attn', { ...heads, layout: 'bhnd', causal: 'top_left' }, { ...heads, causal: 'top_left' }],
    [
      'onnx-23',
      { ...heads, causal: true, kv_lengths: [4, 2] },
      { ...heads, causal: true, kv_lengths: [4, 2] },
    ],
    [
      'onnx-24',
      { ...heads, causal: true, kv_lengths: [4, 3] },
      { ...heads, causal: 'bottom_right', kv_lengths: [4, 3] },
    ],
    ['onnx-24', { ...heads, causal: true }, { ...heads, causal: true }],
    [
      'onnx-25',
      { ...heads, kv_lengths: [4, 3], window: [1, 0] },
      { ...heads, kv_lengths: [4, 3], window: { left: 1, right: 0, align: 'bottom_right' } },
    ],
    ['onnx-25', { ...heads, window: [-1, 1] }, { ...heads, window: { right: 1 } }],
    [
      'jax',
      { ...positions, causal: true, window: 1 },
      { ...positions, layout: 'bnhd', causal: true, window: { left: 1, right: 1 }, empty_rows: 'uniform' },
    ],
    [
      'jax',
      { ...positions, causal: 'bottom_right', window: [2, 0] },
      {
        ...positions,
        layout: 'bnhd',
        causal: 'bottom_right',
        window: { left: 2, right: 0, align: 'top_left' },
        empty_rows: 'uniform',
      },
    ],
    ['transformers', { ...heads, causal: true }, { ...heads, causal: 'bottom_right', empty_rows: 'uniform' }],
    [
      'transformers',
      { ...heads, causal: true, window: 2 },
      { ...heads, causal: 'bottom_right', window: { left: 1 }, empty_rows: 'uniform' },
    ],
    ['transformers', { ...heads, window: 2 }, { ...heads, window: { left: 2, right: 2 } }],
    // padding changes no row's place
    [
      'transformers',
      { ...heads, causal: true, kv_lengths: [4, 5] },
      { ...heads, causal: 'bottom_right', mask: [4, 5].map(m => [[open[0].map((_, j) => j < m)]]) },
    ],
    [
      'transformers',
      {
        ...heads,
        mask: [
          [1, 1, 0, 1, 0],
          [1, 1, 1, 1, 1],
        ],
      },
      { ...heads, mask: [[[[true, true, false, true, false]]], [[open[0].map(() => true)]]] },
    ],
  ]
  it.each(cases)('%s: %j', async (dialect, spoken, ours) => {
    const conventions = await same('/v1/attention', { ...spoken, dialect }, ours)
    expect(conventions).toMatchObject({ dialect, scale: '1/sqrt(d_k)' })
  })

  it('torch-mha turns bool masks round, has them by batch · heads, and averages weights', async () => {
    const more = { precision: 'float64', return: ['output', 'weights'] }
    const ours = await runProgram('/v1/attention', { ...more, ...heads, mask: open })
    for (const mask of [shut(open), bool(shut(open), B * H, N, M)]) {
      const { tensors } = await runProgram('/v1/attention', { ...more, ...heads, mask, dialect: 'torch-mha' })
      expect(tensors.output).toEqual(ours.tensors.output)
      expect(tensors.weights.shape).toEqual([B, N, M])
      const { data } = ours.tensors.weights
      for (const [at, weight] of tensors.weights.data.entries()) {
        const [b, pair] = [Math.floor(at / (N * M)), at % (N * M)]
        expect(weight).toBeCloseTo((data[2 * b * N * M + pair] + data[(2 * b + 1) * N * M + pair]) / 2, 14)
      }
    }
  })

  it('torch-mha adds float masks, whose gradient has their own shape', async () => {
    const mask = draw(7, B * H, N, M)
    const backward = { grad_output: draw(8, B, H, N, D) }
    const whole = { ...mask, shape: [B, H, N, M] }
    const [spoken, ours] = [
      await runProgram('/v1/attention', { ...heads, mask, backward, dialect: 'torch-mha' }),
      await runProgram('/v1/attention', { ...heads, mask: whole, backward }),
    ]
    expect(spoken.tensors['grads.mask']).toEqual({ ...ours.tensors['grads.mask'], shape: [B * H, N, M] })
  })
})

describe('layers', () => {
  it.each<[string, string, object, object]>([
    [
      '/v1/self-attention',
      'torch-mha',
      { x, init: { seed: 1 }, mask: shut(square) },
      { x, init: { seed: 1 }, mask: square },
    ],
    [
      '/v1/multi-head-attention',
      'jax',
      { ...layer, causal: true, window: [1, 0] },
      { ...layer, causal: true, window: { left: 1, right: 0 } },
    ],
    [
      '/v1/multi-head-attention',
      'flash-attn',
      { ...layer, context: draw(5, B, M, 4), causal: true },
      { ...layer, context: draw(5, B, M, 4), causal: 'bottom_right' },
    ],
    [
      '/v1/multi-head-attention',
      'transformers',
      {
        ...layer,
        mask: [
          [1, 1, 0],
          [1, 0, 0],
        ],
      },
      { ...layer, mask: [[[[true, true, false]]], [[[true, false, false]]]] },
    ],
    ['/v1/transformer', 'transformers', { ...stack, window: 2 }, { ...stack, window: { left: 1 } }],
    [
      '/v1/transformer',
      'flash-attn',
      { ...stack, stack: { ...stack.stack, window: [1, 0] } },
      { ...stack, stack: { ...stack.stack, causal: 'bottom_right', window: { left: 1, right: 0 } } },
    ],
    ['/v1/transformer', 'torch-mha', { ...stack, mask: shut(square) }, { ...stack, mask: square }],
  ])('%s in %s: %j', async (path, dialect, spoken, ours) => {
    const empty = ['torch-mha', 'jax', 'transformers'].includes(dialect) ? { empty_rows: 'zeros' } : {}
    await same(path, { ...spoken, ...empty, dialect }, ours)
  })

  it('an encoder is read like its decoder', async () => {
    const encoder = (window: unknown) => ({ x, stack: { layers: 1, heads: 2, init: { seed: 2 }, window } })
    await same(
      '/v1/transformer',
      { ...stack, encoder: encoder(1), dialect: 'transformers' },
      { ...stack, encoder: encoder({ left: 1, right: 1 }), empty_rows: 'uniform' },
    )
  })

  it('weights of many heads are averaged by torch-mha, with what a row is that attends to nothing', async () => {
    const mask = [
      [true, true, true],
      [true, false, true],
      [false, false, false],
    ]
    const { tensors } = await runProgram('/v1/multi-head-attention', {
      ...layer,
      mask,
      return: ['weights', 'output'],
      dialect: 'torch-mha',
    })
    expect(tensors.weights.shape).toEqual([B, N, N])
    expect(tensors.weights.data.slice(0, 6)).toEqual([NaN, NaN, NaN, 0, 1, 0])
    expect(tensors.output.data.slice(0, 4).every(Number.isNaN)).toBe(true)
  })
})

describe('conventions', () => {
  it('spell what was read', async () => {
    const { program } = await runProgram('/v1/attention', {
      ...positions,
      dialect: 'flash-attn',
      causal: true,
      window: [2, -1],
      scale: 0.5,
    })
    expect(program.facts.conventions).toEqual({
      dialect: 'flash-attn',
      library: expect.stringContaining('flash-attn'),
      layout: 'bnhd',
      scale: 0.5,
      causal: 'bottom_right',
      mask: 'bool: true = may attend; float: added to the scores',
      window: { left: 2, right: null, align: 'bottom_right' },
      softcap: 'after scale, before biases and masks',
      empty_rows: 'zeros',
      weights: 'per head',
      kv_heads: 'query head h reads kv head floor(h * H_kv / H)',
    })
  })

  it.each([
    ['jax', {}, 'uniform'],
    ['torch-mha', {}, 'nan'],
    ['torch-mha', { empty_rows: 'zeros' }, 'zeros'],
    ['transformers', { dropout: { p: 0.1 } }, 'zeros'],
    ['torch-sdpa', { empty_rows: 'nan' }, 'nan'],
  ])('%s %j: empty rows are %s', async (dialect, more, rows) => {
    const { program } = await runProgram('/v1/attention', { ...heads, layout: 'bhnd', dialect, ...more })
    expect(program.facts.conventions).toMatchObject({ empty_rows: rows })
  })
})

describe('refused', () => {
  it.each<[string, object, string[], string]>([
    ['/v1/attention', { ...heads, window: 3 }, ['/window'], 'expected an object {left, right}, or a dialect'],
    [
      '/v1/attention',
      { ...heads, window: [1, 2], dialect: 'torch-sdpa' },
      ['/window', '/dialect'],
      'torch-sdpa',
    ],
    [
      '/v1/attention',
      { ...positions, window: 3, dialect: 'flash-attn' },
      ['/window', '/dialect'],
      '[left, right]',
    ],
    [
      '/v1/attention',
      { ...positions, window: [-1, 0], dialect: 'jax' },
      ['/window', '/dialect'],
      'none of them negative',
    ],
    ['/v1/attention', { ...heads, window: 'wide' }, ['/window'], 'expected an object'],
    [
      '/v1/attention',
      { ...heads, dialect: 'tensorflow' },
      ['/dialect'],
      '"torch-sdpa", "torch-mha", "flash-attn", "onnx-23"',
    ],
    [
      '/v1/attention',
      { ...heads, dialect: 'transformers', mask: [[true, true]] },
      ['/mask'],
      'expected [2, M]',
    ],
    [
      '/v1/attention',
      { ...heads, dialect: 'torch-mha', backward: { grad_weights: draw(1, B, N, M) } },
      ['/dialect', '/backward/grad_weights'],
      'mean over heads',
    ],
    [
      '/v1/transformer',
      { ...stack, stack: { ...stack.stack, window: [3, 1] } },
      ['/stack/window'],
      'expected an object',
    ],
  ])('%s %j', async (path, request, paths, message) => {
    const error: { errors?: { path: string; message: string }[] } = await runProgram(path, request).then(
      () => ({}),
      problem => problem,
    )
    expect(error.errors?.map(each => each.path)).toEqual(paths)
    expect(error.errors?.[0].message).toContain(message)
  })
})
