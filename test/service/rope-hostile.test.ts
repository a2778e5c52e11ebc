/** What `rope` refuses: each wrong use has a 400 of its own that names the fields. */
import { describe, expect, it } from 'vitest'
import { post, settled, startServer } from './server.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes

const x = [
  [1, 2, 3, 4],
  [5, 6, 7, 8],
]
const batch = [x, x]
const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 }
const llama3 = {
  rope_type: 'llama3',
  factor: 8,
  original_max_position_embeddings: 16,
  low_freq_factor: 1,
  high_freq_factor: 4,
}
const longrope = {
  rope_type: 'longrope',
  factor: 4,
  original_max_position_embeddings: 16,
  short_factor: [1, 1],
  long_factor: [2, 2],
}
const linear = { rope_type: 'linear', factor: 2 }

/** What is wrong with a rope, the code, the fields below /rope that are named, and what is said. */
const wrong: [string, object, string, string[], RegExp][] = [
  [
    'frequencies and base',
    { frequencies: [1, 1], base: 10 },
    'INVALID_REQUEST',
    ['/frequencies', '/base'],
    /frequencies or base, got both/,
  ],
  [
    'frequencies and scaling',
    { frequencies: [1, 1], scaling: linear },
    'INVALID_REQUEST',
    ['/frequencies', '/scaling'],
    /frequencies or scaling, got both/,
  ],
  [
    'base and rope_theta',
    { base: 10, scaling: { rope_theta: 10 } },
    'INVALID_REQUEST',
    ['/base', '/scaling/rope_theta'],
    /base or scaling\/rope_theta/,
  ],
  [
    'dims and partial_rotary_factor',
    { dims: 2, scaling: { partial_rotary_factor: 0.5 } },
    'INVALID_REQUEST',
    ['/dims', '/scaling/partial_rotary_factor'],
    /got both/,
  ],
  [
    'q_positions and q_offset',
    { q_positions: [0, 1], q_offset: 0 },
    'INVALID_REQUEST',
    ['/q_positions', '/q_offset'],
    /q_positions or q_offset, got both/,
  ],
  [
    'k_positions and k_offset',
    { k_positions: [0, 1], k_offset: 0 },
    'INVALID_REQUEST',
    ['/k_positions', '/k_offset'],
    /k_positions or k_offset, got both/,
  ],
  [
    'rope_type and another type',
    { scaling: { rope_type: 'yarn', type: 'linear' } },
    'INVALID_REQUEST',
    ['/scaling/rope_type', '/scaling/type'],
    /got both/,
  ],
  [
    'too few positions',
    { q_positions: [1] },
    'SHAPE_MISMATCH',
    ['/q_positions'],
    /expected \[2\] or \[2, 2\], got \[1\]/,
  ],
  [
    'positions of another batch',
    { k_positions: [[1, 2]] },
    'SHAPE_MISMATCH',
    ['/k_positions'],
    /expected \[2\] or \[2, 2\], got \[1, 2\]/,
  ],
  [
    'a position between two',
    { q_positions: [0, 1.5] },
    'INVALID_TENSOR',
    ['/q_positions/1'],
    /integer from −2147483648 to 2147483647, got 1.5/,
  ],
  [
    'a position beyond int32',
    { k_positions: [2147483648, 0] },
    'INVALID_TENSOR',
    ['/k_positions/0'],
    /to 2147483647, got 2147483648/,
  ],
  [
    'positions of truth',
    { q_positions: [true, false] },
    'INVALID_REQUEST',
    ['/q_positions'],
    /expected integers/,
  ],
  [
    'positions of floats',
    { q_positions: { shape: [2], dtype: 'float32', data: [0, 1] } },
    'INVALID_REQUEST',
    ['/q_positions/dtype'],
    /expected integers/,
  ],
  [
    'too many frequencies',
    { frequencies: [1, 1, 1] },
    'SHAPE_MISMATCH',
    ['/frequencies'],
    /dims of at most d_k = 4, got \[3\]/,
  ],
  ['no frequencies', { frequencies: [] }, 'SHAPE_MISMATCH', ['/frequencies'], /got \[0\]/],
  ['frequencies of two axes', { frequencies: [[1, 1]] }, 'SHAPE_MISMATCH', ['/frequencies'], /got \[1, 2\]/],
  [
    'frequencies that are not of dims',
    { frequencies: [1, 1], dims: 2 },
    'SHAPE_MISMATCH',
    ['/frequencies'],
    /expected \[1\], got \[2\]/,
  ],
  [
    'a frequency that is none',
    { frequencies: [1, 'NaN'] },
    'INVALID_TENSOR',
    ['/frequencies/1'],
    /expected a number from -3.4.* to 3.4.*, got "NaN"/,
  ],
  [
    'a frequency beyond float32',
    { frequencies: { shape: [2], data: [1e39, 1] } },
    'INVALID_TENSOR',
    ['/frequencies/data/0'],
    /got 1e\+39/,
  ],
  [
    'a frequency in base64 that is none',
    { frequencies: { shape: [1], dtype: 'float32', base64: 'AADAfw==' } },
    'INVALID_TENSOR',
    ['/frequencies'],
    /got NaN at index 0/,
  ],
  ['a factor that is none', { factor: 'NaN' }, 'INVALID_REQUEST', ['/factor'], /expected a number/],
  [
    'an unknown type',
    { scaling: { rope_type: 'mrope' } },
    'INVALID_REQUEST',
    ['/scaling/rope_type'],
    /one of "default", .*got string "mrope"/,
  ],
  ['an unknown field', { scaling: { alpha: 1 } }, 'INVALID_REQUEST', ['/scaling/alpha'], /no such field/],
  [
    'a field of another type',
    { scaling: { ...linear, beta_fast: 32 } },
    'INVALID_REQUEST',
    ['/scaling/beta_fast'],
    /beside "rope_type":"linear"/,
  ],
  [
    'a factor of no type',
    { scaling: { factor: 2 } },
    'INVALID_REQUEST',
    ['/scaling/factor'],
    /beside "rope_type":"default"/,
  ],
  [
    'linear without factor',
    { scaling: { rope_type: 'linear' } },
    'INVALID_REQUEST',
    ['/scaling/factor'],
    /expected a number beside .*linear.*got nothing/,
  ],
  [
    'a factor of 0',
    { scaling: { ...linear, factor: 0 } },
    'INVALID_REQUEST',
    ['/scaling/factor'],
    /at least 1e-30/,
  ],
  [
    'dynamic without a length',
    { scaling: { rope_type: 'dynamic', factor: 2 } },
    'INVALID_REQUEST',
    ['/scaling/max_position_embeddings'],
    /got nothing/,
  ],
  [
    'dynamic of one pair',
    { dims: 2, scaling: { rope_type: 'dynamic', factor: 2, max_position_embeddings: 4 } },
    'INVALID_REQUEST',
    ['/scaling/rope_type'],
    /at least 4 rotated elements .*got 2/,
  ],
  [
    'yarn without a length',
    { scaling: { rope_type: 'yarn', factor: 2 } },
    'INVALID_REQUEST',
    ['/scaling/original_max_position_embeddings'],
    /or max_position_embeddings/,
  ],
  [
    'yarn without a factor',
    { scaling: { ...yarn, factor: undefined } },
    'INVALID_REQUEST',
    ['/scaling/factor'],
    /or max_position_embeddings/,
  ],
  [
    'yarn of base 1',
    { base: 1, scaling: yarn },
    'INVALID_REQUEST',
    ['/scaling/rope_type'],
    /base other than 1/,
  ],
  [
    'yarn of rope_theta 1',
    { scaling: { ...yarn, rope_theta: 1 } },
    'INVALID_REQUEST',
    ['/scaling/rope_theta'],
    /base other than 1/,
  ],
  [
    'longrope without long_factor',
    { scaling: { ...longrope, long_factor: undefined } },
    'INVALID_REQUEST',
    ['/scaling/long_factor'],
    /expected a tensor .*got nothing/,
  ],
  [
    'longrope without a factor',
    { scaling: { ...longrope, factor: undefined } },
    'INVALID_REQUEST',
    ['/scaling/factor'],
    /got nothing/,
  ],
  [
    'longrope from a length of 1',
    { scaling: { ...longrope, original_max_position_embeddings: 1 } },
    'INVALID_REQUEST',
    ['/scaling/original_max_position_embeddings'],
    /at least 2 \(or attention_factor\), got 1/,
  ],
  [
    'too many short factors',
    { scaling: { ...longrope, short_factor: [1, 1, 1] } },
    'SHAPE_MISMATCH',
    ['/scaling/short_factor'],
    /expected \[2\], got \[3\]/,
  ],
  [
    'a long factor of 0',
    { scaling: { ...longrope, long_factor: [1, 0] } },
    'INVALID_TENSOR',
    ['/scaling/long_factor/1'],
    /from 1e-30 .*got 0/,
  ],
  [
    'llama3 without low_freq_factor',
    { scaling: { ...llama3, low_freq_factor: undefined } },
    'INVALID_REQUEST',
    ['/scaling/low_freq_factor'],
    /got nothing/,
  ],
  [
    'llama3 upside down',
    { scaling: { ...llama3, high_freq_factor: 1 } },
    'INVALID_REQUEST',
    ['/scaling/high_freq_factor'],
    /greater than low_freq_factor = 1, got 1/,
  ],
  [
    'a share of 0',
    { scaling: { partial_rotary_factor: 0 } },
    'INVALID_REQUEST',
    ['/scaling/partial_rotary_factor'],
    /greater than 0/,
  ],
  [
    'a share that is no even number',
    { scaling: { partial_rotary_factor: 0.25 } },
    'INVALID_REQUEST',
    ['/scaling/partial_rotary_factor'],
    /got 0.25, which is 1/,
  ],
]

const named = (body: { errors: { path: string }[] }) => body.errors.map(({ path }) => path)

describe.each(wrong)('%s', (_name, rope, code, paths, message) => {
  it('in attention', async () => {
    const { body } = await post(server, '/v1/attention', { q: batch, k: batch, v: batch, rope })
    expect(body).toMatchObject({ status: 400, code, detail: expect.stringMatching(message) })
    expect(named(body)).toEqual(paths.map(path => `/rope${path}`))
  })
})

it('names fields where they stand in a stack', async () => {
  const stack = { layers: 1, heads: 1, init: {}, position: 'rope' }
  const cases: [object, string[]][] = [
    [{ frequencies: [1], base: 2 }, ['/stack/rope/frequencies', '/stack/rope/base']],
    [{ scaling: { rope_type: 'linear' } }, ['/stack/rope/scaling/factor']],
    [{ q_positions: [0.5, 1] }, ['/stack/rope/q_positions/0']],
    [{ q_offset: 1 }, ['/stack/rope/q_offset']],
  ]
  for (const [rope, paths] of cases) {
    const { body } = await post(server, '/v1/transformer', { x: batch, stack: { ...stack, rope } })
    expect(body.status, JSON.stringify(body)).toBe(400)
    expect(named(body)).toEqual(paths)
  }
})

it.each<[string, object, string[], RegExp]>([
  [
    'positions and offset',
    { positions: [0, 1], offset: 0 },
    ['/positions', '/offset'],
    /positions or offset, got both/,
  ],
  [
    'frequencies and base',
    { length: 1, frequencies: [1, 1], base: 2 },
    ['/frequencies', '/base'],
    /got both/,
  ],
  ['too few positions for x', { x, positions: [0] }, ['/positions'], /expected \[2\], got \[1\]/],
  [
    'positions of a batch that x has not',
    { x: batch, positions: [[0, 1]] },
    ['/positions'],
    /expected \[2\] or \[2, 2\]/,
  ],
  ['another length', { length: 3, positions: [0, 1] }, ['/positions'], /expected \[3\], got \[2\]/],
  ['a part of a position', { positions: [0.5] }, ['/positions/0'], /expected an integer/],
])('positional encoding: %s', async (_name, fields, paths, message) => {
  const { body } = await post(server, '/v1/positional-encoding', { kind: 'rope', d_model: 4, ...fields })
  expect(body).toMatchObject({ status: 400, detail: expect.stringMatching(message) })
  expect(named(body)).toEqual(paths)
})

it('a plan names them too, and knows what shapes alone can tell', async () => {
  const q = { shape: [1, 2, 3, 4] }
  const plan = (rope: object) =>
    post(server, '/v1/plan', { endpoint: '/v1/attention', body: { q, k: q, v: q, rope } })
  const both = await plan({ frequencies: { shape: [2] }, base: 1 })
  expect(named(both.body)).toEqual(['/body/rope/frequencies', '/body/rope/base'])
  expect(named((await plan({ q_positions: { shape: [2] } })).body)).toEqual(['/body/rope/q_positions/shape'])
  expect((await plan({ frequencies: { shape: [2] }, q_positions: { shape: [1, 3] } })).body.admitted).toBe(
    true,
  )
})

it('lists are bounded, and hold numbers whatever non_finite says', async () => {
  const long = { kind: 'rope', length: 1, d_model: 2 ** 17, frequencies: { shape: [2 ** 15 + 1] } }
  const { body } = await post(server, '/v1/plan', { endpoint: '/v1/positional-encoding', body: long })
  expect(body).toMatchObject({ status: 400, detail: expect.stringMatching(/at most 32768 elements/) })
  const none = { kind: 'rope', length: 1, d_model: 2, frequencies: ['Infinity'], non_finite: 'propagate' }
  const refused = await post(server, '/v1/positional-encoding', none)
  expect(refused.body).toMatchObject({ status: 400, errors: [{ path: '/frequencies/0' }] })
})

it('leaves no memory behind', async () => {
  expect(await settled(server, before)).toBe(before)
})
