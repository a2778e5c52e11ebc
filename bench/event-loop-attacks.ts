/** Requests that would hold the main thread, each sent over and over by a few connections. */
import { writeFile } from '../test/service/safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE } from './client.ts'
import { flood, pipeline, send, stream, unfinished } from './senders.ts'

const STACK = '/v1/transformer'

export interface Attack {
  connections: number
  /** one turn of one connection; says how it was answered */
  turn(url: string, connection: number): Promise<string>
}

/** A body that is made when its turn comes: some are large. */
function posts(path: string, make: () => Buffer, connections = 1, type = JSON_TYPE): Attack {
  let body: Buffer | undefined
  return {
    connections,
    async turn(url) {
      body ??= make()
      return await send(url + path, type, body)
    },
  }
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const shape = (...extents: number[]) => ({ shape: extents })
const many = (count: number, item: string) => Buffer.from(`[${`${item},`.repeat(count - 1)}${item}]`)
/** The value as JSON with the text in the place of "?". */
const around = (value: unknown, text: Buffer) => {
  const [before, behind] = JSON.stringify(value).split('"?"')
  return Buffer.concat([Buffer.from(before), text, Buffer.from(behind)])
}
const planned = (path: string, body: object) => ({ endpoint: path, body })
const keys = (count: number, value: string) =>
  Buffer.from(`{${Array.from({ length: count }, (_, key) => `"${key.toString(36)}_":${value}`)}}`)

const lengths = (count: number) => () =>
  around(
    planned('/v1/attention', {
      q: shape(count, 1, 1),
      k: shape(count, 1, 1),
      v: shape(count, 1, 1),
      causal: 'bottom_right',
      q_lengths: '?',
      kv_lengths: shape(count),
    }),
    many(count, '1'),
  )

const X = [[1, 0]]
const attended = (more: object) => ({ q: X, k: X, v: X, ...more })
const largest = { layers: 256, heads: 2, norm: 'pre', position: 'rope', activation: 'swiglu' }
const everything = {
  stack: { ...largest, init: { bias: true } },
  qk_norm: 'l2',
  dropout: { p: 0.1 },
  return: [
    'output',
    'weights',
    'scores',
    'masked_scores',
    'logsumexp',
    'entropy',
    'dropped_weights',
    'params',
  ],
}
const ofStack = (x: unknown, target: unknown) => ({ x, ...everything, backward: { target } })
const file = (count: number, name: (index: number) => string) => () => {
  const tensor = { dtype: 'F32', shape: [1], data: new Uint8Array(4) }
  const tensors = Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), tensor]))
  return writeFile(tensors, { request: JSON.stringify({ stack: { layers: 1, heads: 1 } }) })
}

const FRAME = Buffer.alloc(8 << 20, 0x5a)

const start = json({
  type: 'start',
  id: 'a',
  ...ofStack([[1, 2, 3, 4]], [[1, 2, 3, 4]]),
  return: undefined,
  pass: 'forward_backward',
  emit: ['output', 'weights', 'scores', 'entropy', 'logsumexp', 'grad_output', 'grad_weights', 'grad_params'],
  detail: {},
})

export const ATTACKS: Record<string, Attack> = {
  nothing: { connections: 0, turn: async () => '' },
  'plan, 10⁶ lengths': posts('/v1/plan', lengths(1e6)),
  'plan, 1.2·10⁷ lengths': posts('/v1/plan', lengths(1.2e7)),
  'plan, 65536 lengths, ×4': posts('/v1/plan', lengths(65536), 4),
  '49·10⁶ lengths, 98 MB': posts('/v1/attention', () =>
    around(
      attended({
        q: { shape: [49e6, 0, 1], data: [] },
        k: { shape: [49e6, 0, 1], data: [] },
        v: { shape: [49e6, 0, 1], data: [] },
        q_lengths: '?',
      }),
      many(49e6, '1'),
    ),
  ),
  '99,000 names in wrt': posts('/v1/attention', () =>
    around(attended({ backward: { target: X, wrt: '?' } }), many(99_000, '"x"')),
  ),
  '99,000 names in return': posts('/v1/attention', () =>
    around(attended({ return: '?' }), many(99_000, '"output"')),
  ),
  '15,000 names in wrt': posts('/v1/attention', () =>
    around(attended({ backward: { target: X, wrt: '?' } }), many(15_000, '"x"')),
  ),
  '5639 wrong names in wrt': posts(STACK, () =>
    around(
      { x: X, stack: { layers: 1, heads: 1, init: {} }, backward: { target: X, wrt: '?' } },
      many(5639, '"y"'),
    ),
  ),
  '99,000 parameters': posts(STACK, () =>
    around({ x: X, stack: { layers: 1, heads: 1, params: '?' } }, keys(99_000, '[1]')),
  ),
  '4354 wrong parameters': posts(STACK, () =>
    around({ x: X, stack: { layers: 1, heads: 1, params: '?' } }, keys(4354, '"x"')),
  ),
  '4354 parameters': posts(STACK, () =>
    around({ x: X, stack: { layers: 1, heads: 1, params: '?' } }, keys(4354, '[1]')),
  ),
  '19,000 unknown fields': posts('/v1/attention', () => keys(19_000, '1')),
  '19,000 fields in a plan': posts('/v1/plan', () =>
    around(planned('/v1/attention', '?' as never), keys(19_000, '{}')),
  ),
  '19,000 fields in a tensor': posts('/v1/attention', () => around(attended({ q: '?' }), keys(19_000, '1'))),
  '9000 arrays in 36 kB, ×4': posts(
    '/v1/attention',
    () => around(attended({ q: '?' }), Buffer.from(`["x",${'[1],'.repeat(8990)}1]`)),
    4,
  ),
  '16,000 names in a header': posts(
    STACK,
    file(16_000, index => `n${index}`),
    1,
    SAFETENSORS_TYPE,
  ),
  '4354 names in a header': posts(
    STACK,
    file(4354, index => `stack.params.layers.${index}.attention.w_q`),
    1,
    SAFETENSORS_TYPE,
  ),
  '17,000 wrong windows': posts(STACK, () =>
    around({ x: X, stack: { layers: 1, heads: 1, init: {}, window: '?' } }, many(17_000, '"x"')),
  ),
  '900 names of 500 levels': posts(
    STACK,
    file(900, index => `${index}${'.a'.repeat(500)}`),
    1,
    SAFETENSORS_TYPE,
  ),
  'plan, 65536 slopes, ×4': posts(
    '/v1/plan',
    () =>
      json(
        planned('/v1/attention', {
          q: shape(1, 65536, 1, 1),
          k: shape(1, 65536, 1, 1),
          v: shape(1, 65536, 1, 1),
          alibi: true,
        }),
      ),
    4,
  ),
  'a shape of 100 MB': posts('/v1/attention', () =>
    around(attended({ q: { shape: '?', data: [1] } }), Buffer.from(`[1.${'0'.repeat(1e8)}]`)),
  ),
  'plan of 256 layers, ×1': posts(
    '/v1/plan',
    () => json(planned(STACK, ofStack(shape(2, 3, 4), shape(2, 3, 4)))),
    1,
  ),
  'plan of 256 layers, ×4': posts(
    '/v1/plan',
    () => json(planned(STACK, ofStack(shape(2, 3, 4), shape(2, 3, 4)))),
    4,
  ),
  'plan of 256 layers, LSH, ×4': posts(
    '/v1/plan',
    () =>
      json(
        planned(STACK, {
          ...ofStack(shape(2, 300, 4), shape(2, 300, 4)),
          return: ['output'],
          attention_kind: { kind: 'lsh', rounds: 16 },
          compare_exact: true,
          dropout: undefined,
        }),
      ),
    4,
  ),
  '256 layers, ×4': posts(STACK, () => json(ofStack([[1, 2, 3, 4]], [[1, 2, 3, 4]])), 4),
  'streams of 256 layers, ×4': { connections: 4, turn: url => stream(url, start) },
  '20,000 messages at once': { connections: 1, turn: url => flood(url, 20_000) },
  'frames of 8 MB, ×6': { connections: 6, turn: url => unfinished(url, FRAME) },
  '1000 requests at once': { connections: 1, turn: url => pipeline(url, 1000) },
}
