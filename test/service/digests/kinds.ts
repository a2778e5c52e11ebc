/** `attention_kind`: every approximation with its options, forward, backward and beside exact attention. */
import { operands } from './attention.ts'
import { ATTENTION, type Case, inBoth, MULTI_HEAD, STACK } from './case.ts'
import type { Body } from './tensors.ts'

const SIZES = { kv: 2, n: 37, m: 41 }

const KINDS: [string, Body][] = [
  ['linear', { attention_kind: 'linear' }],
  ['linear, causal', { attention_kind: 'linear', causal: true }],
  [
    'linear, bottom_right, lengths',
    { attention_kind: 'linear', causal: 'bottom_right', kv_lengths: [41, 13] },
  ],
  ['linear, rope, qk_norm', { attention_kind: 'linear', rope: {}, qk_norm: 'l2', q_lengths: [20, 37] }],
  ['lsh', { attention_kind: 'lsh' }],
  ['lsh in small chunks', { attention_kind: { kind: 'lsh', rounds: 3, buckets: 6, chunk: 5, seed: 8 } }],
  [
    'lsh, causal',
    { attention_kind: { kind: 'lsh', rounds: 1, chunk: 8 }, causal: true, kv_lengths: [41, 19] },
  ],
  ['local', { attention_kind: 'local' }],
  ['local 3', { attention_kind: { kind: 'local', window: 3 }, softcap: 2, alibi: true }],
  ['local 0, bottom_right', { attention_kind: { kind: 'local', window: 0 }, causal: 'bottom_right' }],
  ['strided', { attention_kind: { kind: 'strided', stride: 6 } }],
  ['strided, causal', { attention_kind: { kind: 'strided', stride: 5 }, causal: true, window: { left: 21 } }],
  ['block', { attention_kind: { kind: 'block', size: 8 } }],
  [
    'block and the one before',
    { attention_kind: { kind: 'block', size: 7, previous: true }, causal: true, q_lengths: [30, 37] },
  ],
]

const alone = KINDS.flatMap(([name, options]) => {
  const maps = name.startsWith('linear') ? ['output'] : ['output', 'weights', 'entropy', 'logsumexp']
  return [
    ...inBoth(ATTENTION, `${name}, beside exact`, draw => ({
      ...operands(draw, SIZES),
      ...options,
      compare_exact: true,
      return: maps,
    })),
    ...inBoth(ATTENTION, `${name}, gradients`, draw => ({
      ...operands(draw, SIZES),
      ...options,
      backward: { target: draw(2, 4, 37, 5) },
    })),
  ]
})

const LAYER_KINDS: [string, Body][] = [
  ['linear', { attention_kind: 'linear' }],
  ['lsh', { attention_kind: { kind: 'lsh', chunk: 6, seed: 1 } }],
  ['strided', { attention_kind: { kind: 'strided', stride: 4 } }],
  ['block', { attention_kind: { kind: 'block', size: 5 } }],
]

const inLayers = LAYER_KINDS.flatMap(([name, options]) => [
  ...inBoth(MULTI_HEAD, `${name} of many heads`, draw => ({
    x: draw(2, 17, 12),
    context: draw(2, 23, 7),
    heads: 3,
    init: { seed: 9, bias: true },
    ...options,
    compare_exact: true,
    backward: { grad_output: draw(2, 17, 12) },
  })),
  ...inBoth(STACK, `${name} in a stack`, draw => ({
    stack: { layers: 2, heads: 2, d_ff: 11, causal: true, position: 'rope', init: { seed: 4 } },
    x: draw(2, 17, 12),
    kv_lengths: [17, 9],
    q_lengths: [17, 9],
    ...options,
    compare_exact: true,
    backward: { target: draw(2, 17, 12), wrt: ['x', 'params.layers.0.attention.w_q'] },
  })),
])

export const KIND_CASES: Case[] = [...alone, ...inLayers]
