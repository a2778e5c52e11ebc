/** Runs over `GET /v1/stream`: what a client sends, and whether it then asks for whole maps. */
import { type Body, drawer } from './tensors.ts'

export interface Run {
  name: string
  start: Body
  /** asked for one by one after `done` */
  fetches?: Body[]
  /** the start goes as a safetensors file */
  file?: boolean
}

/** One drawer for each tensor, so that a new run changes no other. */
const draw = (name: string, ...shape: number[]) => drawer(`run ${name}`)(...shape)
const FORWARD = ['output', 'weights', 'scores', 'entropy', 'logsumexp']
const BACKWARD = ['grad_output', 'grad_weights', 'grad_params']
const stack = { layers: 3, heads: 4, kv_heads: 2, d_ff: 12, init: { seed: 3, bias: true } }
const x = draw('x', 2, 13, 8)
const target = draw('target', 2, 13, 8)
const plain = { stack, x }
const padded = { q_lengths: [13, 9], kv_lengths: [13, 9] }
const both = { pass: 'forward_backward', backward: { target, entropy_weight: 0.3 } }
const everything = {
  ...plain,
  ...padded,
  ...both,
  mask: draw('mask', 13, 13),
  dropout: { p: 0.2, seed: 5 },
  emit: [...FORWARD, ...BACKWARD],
}
const whole = { max_size: 5 }

export const STREAM_RUNS: Run[] = [
  ...['nested', 'flat', 'base64', 'safetensors'].flatMap(encoding =>
    ['float32', 'float64'].map(precision => ({
      name: `everything as ${encoding}, ${precision}`,
      start: { ...everything, encoding, precision },
    })),
  ),
  ...['nested', 'base64', 'safetensors'].map(encoding => ({
    name: `windows of ${encoding}`,
    start: { stack: { layers: 2, heads: 4, d_ff: 8, init: { seed: 1 } }, x: draw('long', 197, 8), encoding },
  })),
  { name: 'forward alone', start: { ...plain } },
  { name: 'nothing to emit', start: { ...everything, emit: [] } },
  {
    name: 'some layers and heads',
    start: { ...plain, emit: ['weights', 'entropy'], layers: [2, 0], heads: [3, 1] },
  },
  { name: 'little credit', start: { ...plain, ...both, emit: BACKWARD, credit: 1 } },
  { name: 'checkpoint, pre', start: { ...everything, stack: { ...stack, norm: 'pre' }, checkpoint: true } },
  {
    name: 'wrt one parameter',
    start: {
      ...plain,
      pass: 'forward_backward',
      emit: ['grad_params'],
      backward: { grad_output: target, wrt: ['x', 'params.layers.1.ffn.w_1'] },
    },
  },
  {
    name: 'output_dtype float16',
    start: { ...plain, emit: ['output'], output_dtype: 'float16', encoding: 'base64' },
  },
  {
    name: 'linear attention',
    start: {
      ...plain,
      ...both,
      attention_kind: 'linear',
      backward: { target },
      emit: ['output', 'grad_output'],
    },
  },
  {
    name: 'local attention beside exact',
    start: { ...plain, attention_kind: { kind: 'local', window: 3 }, compare_exact: true },
  },
  {
    name: 'rank 2 in a file',
    start: { stack: { ...stack, position: 'rope', causal: true }, x: draw('short', 9, 8) },
    file: true,
  },
  ...['max', 'mean'].map(pool => ({
    name: `thumbnails by ${pool}, and whole maps`,
    start: { ...plain, ...both, emit: ['weights', 'scores', 'grad_weights'], detail: { ...whole, pool } },
    fetches: [
      { layer: 0, head: 3, tensor: 'weights' },
      { layer: 2, head: 0, tensor: 'scores', pass: 'forward' },
      { layer: 1, head: 2, tensor: 'grad_weights' },
    ],
  })),
  {
    name: 'thumbnails as safetensors',
    start: { ...plain, emit: ['weights'], detail: whole, heads: [1, 2], encoding: 'safetensors' },
    fetches: [
      { layer: 1, head: 2, tensor: 'weights' },
      { layer: 1, head: 3, tensor: 'weights' },
      { layer: 3, head: 1, tensor: 'weights' },
    ],
  },
  { name: 'an unknown tensor', start: { ...plain, emit: ['values'] } },
  { name: 'a gradient of a forward pass', start: { ...plain, emit: ['grad_output'] } },
  { name: 'a layer that is not there', start: { ...plain, layers: [3] } },
  { name: 'a head twice', start: { ...plain, heads: [1, 1] } },
  { name: 'a number that is none', start: { ...plain, x: { ...x, data: x.data.with(3, 'NaN') } } },
]
