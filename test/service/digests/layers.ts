/** `POST /v1/self-attention`, `/v1/multi-head-attention` and `/v1/positional-encoding`. */
import { type Case, inBoth, MULTI_HEAD, POSITIONS, SELF } from './case.ts'
import type { Body, Draw } from './tensors.ts'

const selfParams = (draw: Draw): Body => ({ w_q: draw(6, 4), w_k: draw(6, 4), w_v: draw(6, 3) })
const selfBiases = (draw: Draw): Body => ({ b_q: draw(4), b_k: draw(4), b_v: draw(3) })
const PAIRS = ['output', 'weights', 'entropy', 'params']

const self = [
  ...inBoth(SELF, 'params, rank 2', draw => ({
    x: draw(7, 6),
    params: selfParams(draw),
    return: ['output', 'weights', 'scores'],
    backward: { target: draw(7, 3) },
  })),
  ...inBoth(SELF, 'biases, causal, float mask, rope', draw => ({
    x: draw(3, 17, 6),
    params: { ...selfParams(draw), ...selfBiases(draw) },
    causal: true,
    mask: draw(17, 17),
    rope: { dims: 2 },
    return: ['output', 'masked_scores', 'logsumexp'],
    backward: { grad_output: draw(3, 17, 3), entropy_weight: 0.3 },
  })),
  ...inBoth(SELF, 'init, dropout, lengths', draw => ({
    x: draw(2, 59, 7),
    init: { scheme: 'he_normal', seed: 5, bias: true },
    d_k: 9,
    d_v: 3,
    dropout: { p: 0.25, seed: 2 },
    q_lengths: [59, 20],
    kv_lengths: [31, 59],
    return: [...PAIRS, 'dropped_weights'],
    backward: { target: draw(2, 59, 3), loss: 'mean_squared_error', wrt: ['x', 'params.w_k', 'params.b_v'] },
  })),
  ...inBoth(SELF, 'past', draw => ({
    x: draw(2, 3, 6),
    params: selfParams(draw),
    past_k: draw(2, 5, 4),
    past_v: draw(2, 5, 3),
    causal: true,
    alibi: true,
    return: ['output', 'present_k', 'present_v'],
    backward: { target: draw(2, 3, 3), wrt: ['params', 'past_k', 'past_v'] },
  })),
  ...inBoth(SELF, 'no rows', draw => ({
    x: draw(2, 0, 6),
    params: selfParams(draw),
    backward: { target: draw(2, 0, 3) },
  })),
]

const manyParams = (draw: Draw): Body => ({
  w_q: draw(10, 24),
  w_k: draw(7, 12),
  w_v: draw(7, 10),
  w_o: draw(20, 9),
  b_q: draw(24),
  b_k: draw(12),
  b_v: draw(10),
  b_o: draw(9),
})

const many = [
  ...inBoth(MULTI_HEAD, 'cross-attention in groups with params', draw => ({
    x: draw(2, 17, 10),
    context: draw(2, 29, 7),
    heads: 4,
    kv_heads: 2,
    params: manyParams(draw),
    mask: draw.bools(2, 1, 17, 29),
    return: ['output', 'weights', 'entropy', 'logsumexp'],
    backward: { target: draw(2, 17, 9), entropy_weight: 0.1 },
  })),
  ...inBoth(MULTI_HEAD, 'softcap, window, qk_norm', draw => ({
    x: draw(1, 97, 16),
    heads: 2,
    init: { scheme: 'xavier_normal', seed: 1 },
    d_k: 7,
    d_v: 5,
    d_out: 11,
    softcap: 3,
    window: { left: 10, right: 4 },
    qk_norm: { kind: 'rms' },
    return: PAIRS,
    backward: { grad_output: draw(1, 97, 11) },
  })),
  ...inBoth(MULTI_HEAD, 'rank 2, past, rope', draw => ({
    x: draw(5, 8),
    heads: 2,
    kv_heads: 1,
    init: { scheme: 'he_uniform', seed: 3, bias: true },
    past_k: draw(1, 6, 4),
    past_v: draw(1, 6, 4),
    causal: true,
    rope: {},
    return: ['output', 'present_k', 'present_v'],
    backward: { target: draw(5, 8), wrt: ['x', 'params', 'past_k', 'past_v'] },
  })),
  ...inBoth(MULTI_HEAD, 'alibi, float mask, dropout', draw => ({
    x: draw(2, 33, 12),
    heads: 3,
    init: {},
    alibi: true,
    causal: 'bottom_right',
    mask: draw(3, 1, 33),
    dropout: { p: 0.1, seed: 9 },
    return: ['output', 'dropped_weights'],
    backward: { grad_output: draw(2, 33, 12), wrt: ['mask', 'params.w_o'] },
  })),
  ...inBoth(MULTI_HEAD, 'no context', draw => ({
    x: draw(1, 3, 4),
    context: draw(1, 0, 6),
    heads: 2,
    init: { bias: true },
    encoding: 'flat',
    backward: { target: draw(1, 3, 4) },
  })),
  ...inBoth(MULTI_HEAD, 'a wide one without maps', draw => ({
    x: draw(1, 111, 64),
    heads: 4,
    init: { seed: 6 },
    causal: true,
    backward: { grad_output: draw(1, 111, 64), wrt: ['x'] },
  })),
]

const positions: [string, (draw: Draw) => Body][] = [
  ['sinusoidal', () => ({ kind: 'sinusoidal', length: 17, d_model: 6 })],
  ['sinusoidal, odd width', () => ({ kind: 'sinusoidal', length: 7, d_model: 5, base: 100, offset: 1000 })],
  [
    'sinusoidal on x',
    draw => ({ kind: 'sinusoidal', x: draw(2, 11, 7), offset: -4, backward: { target: draw(2, 11, 7) } }),
  ],
  ['rope', () => ({ kind: 'rope', length: 19, d_model: 8, dims: 6, base: 500 })],
  [
    'rope on x',
    draw => ({ kind: 'rope', x: draw(2, 3, 17, 8), offset: 5, backward: { target: draw(2, 3, 17, 8) } }),
  ],
  [
    'rope on x, interleaved',
    draw => ({
      kind: 'rope',
      x: draw(9, 8),
      dims: 4,
      interleaved: true,
      backward: { grad_output: draw(9, 8) },
    }),
  ],
  ['alibi', () => ({ kind: 'alibi', length: 9, heads: 6 })],
  [
    'alibi on x',
    draw => ({ kind: 'alibi', x: draw(2, 3, 7, 11), backward: { grad_output: draw(2, 3, 7, 11) } }),
  ],
  ['length 0', () => ({ kind: 'sinusoidal', length: 0, d_model: 6 })],
]

export const LAYER_CASES: Case[] = [
  ...self,
  ...many,
  ...positions.flatMap(([name, build]) => inBoth(POSITIONS, name, build)),
]
