/** Requests that are refused: what is said of them, and of which place. */

import { float32, writeFile } from '../safetensors-file.ts'
import { ATTENTION, MULTI_HEAD, POSITIONS, SELF, STACK } from './case.ts'
import type { Body } from './tensors.ts'

export interface BadCase {
  name: string
  path: string
  method?: string
  type?: string
  body?: Body | string | Buffer<ArrayBuffer>
}

const I = [
  [1, 0],
  [0, 1],
]
const ok = { q: I, k: I, v: I }
const x = [
  [1, 2],
  [3, 4],
]
const stack = { layers: 1, heads: 1, init: {} }
const nothing = { shape: [0, 2], data: [] }

const ATTENTION_FAULTS: [string, Body | string][] = [
  [
    'ragged',
    {
      ...ok,
      k: [
        [1, 2],
        [3, 4, 5],
      ],
    },
  ],
  ['mixed', { ...ok, k: [[1, true]] }],
  [
    'null',
    {
      ...ok,
      k: [
        [1, 2],
        [1, null],
      ],
    },
  ],
  ['null comes first', { ...ok, v: [[null, 1]] }],
  ['true comes first', { ...ok, k: [[true, 1]] }],
  ['NaN comes first', { ...ok, k: [['NaN', 1], I[1]] }],
  ['no tensor', { ...ok, k: 'x' }],
  ['missing', { q: I, v: I }],
  ['rank', { ...ok, q: [1, 2] }],
  ['other rank', { ...ok, k: [I] }],
  ['d_k', { ...ok, k: { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } }],
  ['heads', { q: [[I, I, I]], k: [[I, I]], v: [[I, I]] }],
  ['keys and values', { ...ok, v: [[1, 2]] }],
  ['no width', { ...ok, q: { shape: [2, 0], data: [] } }],
  ['mask', { ...ok, mask: [[true, true, true]] }],
  ['count', { ...ok, k: { shape: [2, 2], data: [1, 2, 3] } }],
  ['dtype', { ...ok, k: { shape: [1, 1], dtype: 'float8', base64: '' } }],
  ['integers', { ...ok, q: { shape: [1, 2], dtype: 'int32', data: [1, 2] } }],
  ['negative extent', { ...ok, k: { shape: [-1, 2], data: [] } }],
  ['base64 length', { ...ok, k: { shape: [1, 2], dtype: 'float32', base64: 'AAAA' } }],
  ['base64 letters', { ...ok, k: { shape: [2, 2], dtype: 'float32', base64: 'AAAA AAAAAAAAAAAAAAAAAA=' } }],
  ['data and base64', { ...ok, k: { shape: [1, 2], dtype: 'float32', base64: '', data: [] } }],
  [
    'NaN, nested',
    {
      ...ok,
      k: [
        [1, 'NaN'],
        [0, 1],
      ],
    },
  ],
  ['Infinity, flat', { ...ok, k: { shape: [2, 2], data: [1, 2, 3, 'Infinity'] } }],
  [
    'overflow of float32',
    {
      ...ok,
      q: [
        [1, 1],
        [1e39, 1],
      ],
    },
  ],
  ['overflow of float64', '{"q":[[1,1e400]],"k":[[1,1]],"v":[[1]],"precision":"float64"}'],
  ['length', { ...ok, kv_lengths: [3] }],
  ['lengths', { ...ok, q_lengths: [1, 1] }],
  ['alibi', { ...ok, alibi: [1, 2] }],
  ['unknown field', { ...ok, maks: [[true]] }],
  ['unknown field below', { ...ok, dropout: { p: 0.1, sed: 1 } }],
  ['several at once', { ...ok, precision: 'float16', softcap: -1, window: { left: -1 } }],
  ['causal', { ...ok, causal: 'left' }],
  ['dropout', { ...ok, dropout: { p: 1 } }],
  ['qk_norm', { ...ok, qk_norm: { kind: 'rms', eps: -1 } }],
  ['rope dims, odd', { ...ok, rope: { dims: 3 } }],
  ['rope dims, many', { ...ok, rope: { dims: 4 } }],
  ['return', { ...ok, return: ['output', 'outputs'] }],
  ['backward', { ...ok, backward: {} }],
  ['both losses', { ...ok, backward: { target: I, grad_output: I } }],
  ['target', { ...ok, backward: { target: [[1, 2]] } }],
  ['wrt a bool mask', { ...ok, mask: [[true, true]], backward: { target: I, wrt: ['q', 'mask'] } }],
  ['past_k alone', { ...ok, past_k: I }],
  ['attention_kind', { ...ok, attention_kind: 'sparse' }],
  ['attention_kind, an unknown object', { ...ok, attention_kind: { kind: 'sparse', window: 3 } }],
  ['a number that overflows', '{"q":[[1]],"k":[[1]],"v":[[1]],"scale":1e400}'],
  ['attention_kind, buckets', { ...ok, attention_kind: { kind: 'lsh', buckets: 3 } }],
  ['linear with a mask', { ...ok, attention_kind: 'linear', mask: [[true, true]] }],
  ['linear with weights', { ...ok, attention_kind: 'linear', return: ['weights'] }],
  ['lsh with alibi', { ...ok, attention_kind: 'lsh', alibi: true }],
  [
    'compare_exact with dropout',
    { ...ok, attention_kind: 'local', compare_exact: true, dropout: { p: 0.5 } },
  ],
  ['an array', '[1]'],
  ['a number', '5'],
  ['nothing', ''],
  ['cut off', '{"q":[[1'],
  ['trailing', `${JSON.stringify(ok)}x`],
  ['twice', '{"q":[[1]],"q":[[1]]}'],
  ['bare NaN', '{"q":[[NaN]]}'],
  ['deep', '['.repeat(1000)],
]

const OTHER_FAULTS: [string, string, Body][] = [
  ['no params', SELF, { x }],
  ['params and init', SELF, { x, init: {}, params: { w_q: I, w_k: I, w_v: I } }],
  ['shape of w_k', SELF, { x, params: { w_q: I, w_k: [[1, 2]], w_v: I } }],
  ['wrt no param', SELF, { x, init: {}, backward: { target: x, wrt: ['params.w_z'] } }],
  ['heads do not divide', MULTI_HEAD, { x, heads: 3, init: {} }],
  ['kv_heads do not divide', MULTI_HEAD, { x, heads: 2, kv_heads: 4, init: {} }],
  ['batch of context', MULTI_HEAD, { x: [x], context: [x, x], heads: 1, init: {} }],
  ['kind', POSITIONS, { kind: 'learned', length: 3 }],
  ['no length', POSITIONS, { kind: 'sinusoidal', d_model: 4 }],
  ['backward without x', POSITIONS, { kind: 'rope', length: 3, d_model: 4, backward: { target: x } }],
  ['rope beside another position', STACK, { stack: { ...stack, position: 'alibi', rope: {} }, x }],
  [
    'missing parameter',
    STACK,
    { stack: { layers: 1, heads: 1, params: { 'layers.0.attention.w_q': I } }, x },
  ],
  ['unknown parameter', STACK, { stack: { layers: 1, heads: 1, params: { w: I } }, x }],
  ['no layers', STACK, { stack: { ...stack, layers: 0 }, x }],
  ['no rows of keys', STACK, { stack: { ...stack, heads: 5 }, x: nothing }],
  ['unknown endpoint', '/v1/plan', { endpoint: '/v1/attend', body: {} }],
  ['planned field', '/v1/plan', { endpoint: ATTENTION, body: { ...ok, softcap: 0 } }],
  ['planned shape', '/v1/plan', { endpoint: ATTENTION, body: { q: { shape: [2, 3] }, k: I, v: I } }],
]

const two = float32([1, 2], [1, 2])
const FILE_FAULTS: [string, Buffer<ArrayBuffer>][] = [
  ['an empty file', Buffer.alloc(0)],
  ['a header longer than the file', Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 123])],
  ['trailing bytes', Buffer.concat([writeFile({ q: two }, {}), Buffer.from([0])])],
  ['an unknown dtype', writeFile({ q: { dtype: 'F8_E5M2', shape: [1], data: new Uint8Array(1) } }, {})],
  ['a wrong size', writeFile({ q: { dtype: 'F32', shape: [3], data: new Uint8Array(4) } }, {})],
  ['a tensor and a field', writeFile({ q: two }, { request: '{"q":[[1]]}' })],
  ['a request that is no object', writeFile({ q: two }, { request: '[1]' })],
  ['an unknown name', writeFile({ q: two, k: two, v: two, w: two }, {})],
  ['an unknown name with a slash', writeFile({ q: two, k: two, v: two, 'a/b~c.d': two }, {})],
  ['NaN in a file', writeFile({ q: two, k: float32([1, Number.NaN], [1, 2]), v: two }, {})],
]

const zeros = (...shape: number[]) => ({
  shape,
  dtype: 'bfloat16',
  base64: Buffer.alloc(2 * shape.reduce((size, extent) => size * extent, 1)).toString('base64'),
})

const HTTP_FAULTS: BadCase[] = [
  { name: 'no such path', path: '/v1/attend', body: ok },
  { name: 'no such method', path: ATTENTION, method: 'GET' },
  { name: 'media type', path: ATTENTION, type: 'text/plain', body: 'q' },
  { name: 'a stream without an upgrade', path: '/v1/stream', method: 'GET' },
  { name: 'a body too large', path: ATTENTION, body: ' '.repeat((4 << 20) + 1) },
  {
    name: 'too many operations',
    path: ATTENTION,
    body: { q: zeros(20_000, 4), k: zeros(20_000, 4), v: zeros(20_000, 4) },
  },
  {
    name: 'too much memory',
    path: ATTENTION,
    body: { q: zeros(9000, 1), k: zeros(9000, 1), v: zeros(9000, 1), return: ['weights'] },
  },
]

export const PROBLEM_CASES: BadCase[] = [
  ...ATTENTION_FAULTS.map(([name, body]) => ({ name, path: ATTENTION, body })),
  ...OTHER_FAULTS.map(([name, path, body]) => ({ name: `${path} ${name}`, path, body })),
  ...FILE_FAULTS.map(([name, body]) => ({ name, path: ATTENTION, type: 'application/x-safetensors', body })),
  ...HTTP_FAULTS,
]
