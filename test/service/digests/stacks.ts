/** `POST /v1/transformer`: norms, activations, positions, parameters and what stands beside the stack. */
import { type Case, inBoth, STACK } from './case.ts'
import type { Body, Draw, Tensor } from './tensors.ts'

const LAYER_RETURNS = ['output', 'weights', 'entropy', 'logsumexp']

const init = (seed: number, more: Body = {}): Body => ({ init: { seed, bias: true, ...more } })

/** Every parameter of a stack of width 6 with two heads and nine hidden units. */
function params(draw: Draw, layers: number, gated: boolean, rms: boolean): Record<string, Tensor> {
  const norm = (name: string): Record<string, Tensor> => ({
    [`${name}.gamma`]: draw(6),
    ...(!rms && { [`${name}.beta`]: draw(6) }),
  })
  const layer = (index: number): [string, Tensor][] =>
    Object.entries({
      'attention.w_q': draw(6, 6),
      'attention.w_k': draw(6, 6),
      'attention.w_v': draw(6, 4),
      'attention.w_o': draw(4, 6),
      'attention.b_q': draw(6),
      'attention.b_o': draw(6),
      ...norm('norm1'),
      'ffn.w_1': draw(6, 9),
      'ffn.w_2': draw(9, 6),
      'ffn.b_2': draw(6),
      ...(gated && { 'ffn.w_gate': draw(6, 9) }),
      ...norm('norm2'),
    }).map(([name, tensor]) => [`layers.${index}.${name}`, tensor])
  return {
    ...Object.fromEntries(Array.from({ length: layers }, (_, index) => layer(index)).flat()),
    ...norm('final_norm'),
  }
}

const STACKS: [string, Body][] = [
  ['post, layer norm, relu', { ...init(1) }],
  [
    'post, rms norm, gelu, sinusoidal',
    { norm_kind: 'rms', activation: 'gelu', position: 'sinusoidal', ...init(2) },
  ],
  [
    'pre, layer norm, gelu_tanh, rope',
    { norm: 'pre', activation: 'gelu_tanh', position: 'rope', ...init(3) },
  ],
  [
    'pre, rms norm, swiglu, alibi, causal',
    { norm: 'pre', norm_kind: 'rms', activation: 'swiglu', position: 'alibi', causal: true, ...init(4) },
  ],
  ['post, silu, causal', { activation: 'silu', causal: 'top_left', init: { scheme: 'he_uniform', seed: 5 } }],
  [
    'pre, relu, rope interleaved, bottom_right',
    {
      norm: 'pre',
      position: 'rope',
      rope: { interleaved: true, base: 300, dims: 2 },
      causal: 'bottom_right',
      init: { scheme: 'xavier_normal', seed: 6 },
    },
  ],
  [
    'pre, gelu, norm_eps',
    { norm: 'pre', activation: 'gelu', norm_eps: 0.01, init: { scheme: 'he_normal', bias: true } },
  ],
]

const shapes = STACKS.flatMap(([name, stack], index) =>
  inBoth(STACK, name, draw => ({
    stack: { layers: 2, heads: 3, d_ff: 17, ...stack },
    x: draw(2, 13, 12),
    return: index % 2 === 0 ? LAYER_RETURNS : [...LAYER_RETURNS, 'params'],
    backward:
      index % 2 === 0
        ? { target: draw(2, 13, 12), entropy_weight: 0.2 }
        : { grad_output: draw(2, 13, 12), wrt: ['x', 'params'] },
  })),
)

const OPTIONS: [string, (draw: Draw) => Body][] = [
  ['lengths', () => ({ q_lengths: [13, 5], kv_lengths: [9, 5] })],
  ['no length', () => ({ q_lengths: [0, 13], kv_lengths: [0, 13] })],
  ['bool mask', draw => ({ mask: draw.bools(13, 13) })],
  ['float mask', draw => ({ mask: draw(2, 4, 1, 13) })],
  ['dropout', () => ({ dropout: { p: 0.2, seed: 21 } })],
  ['dropout, checkpoint', () => ({ dropout: { p: 0.2, seed: 21 }, checkpoint: true })],
  ['checkpoint', draw => ({ checkpoint: true, mask: draw(13, 13) })],
  ['window, softcap, scale', () => ({ window: { left: 3, right: 1 }, softcap: 2, scale: 1.1 })],
  ['qk_norm', () => ({ qk_norm: 'l2', scale: 4 })],
  ['local attention', () => ({ attention_kind: { kind: 'local', window: 2 }, compare_exact: true })],
]

const beside = OPTIONS.flatMap(([name, options]) =>
  inBoth(STACK, `${name}, four heads in two groups`, draw => ({
    stack: { layers: 3, heads: 4, kv_heads: 2, norm: 'pre', causal: true, ...init(8) },
    x: draw(2, 13, 8),
    ...options(draw),
    return: [...LAYER_RETURNS, 'scores', 'masked_scores'],
    backward: { target: draw(2, 13, 8), loss: 'mean_squared_error' },
  })),
)

const given = [
  ...inBoth(STACK, 'params, pre, layer norm', draw => ({
    stack: { layers: 2, heads: 2, norm: 'pre', params: params(draw, 2, false, false) },
    x: draw(1, 7, 6),
    backward: { target: draw(1, 7, 6) },
  })),
  ...inBoth(STACK, 'params, pre, rms norm, swiglu, rank 2', draw => ({
    stack: {
      layers: 2,
      heads: 2,
      norm: 'pre',
      norm_kind: 'rms',
      activation: 'swiglu',
      params: params(draw, 2, true, true),
    },
    x: draw(17, 6),
    return: ['output', 'weights', 'params'],
    backward: { grad_output: draw(17, 6), wrt: ['params.layers.1.ffn.w_gate', 'params.final_norm.gamma'] },
  })),
  ...inBoth(STACK, 'no rows', draw => ({
    stack: { layers: 1, heads: 2, init: {} },
    x: draw(2, 0, 6),
    backward: { target: draw(2, 0, 6) },
  })),
  ...inBoth(STACK, 'one layer of 97 rows, width 32', draw => ({
    stack: { layers: 1, heads: 2, activation: 'gelu', position: 'alibi', init: { seed: 12 } },
    x: draw(1, 97, 32),
    backward: { grad_output: draw(1, 97, 32), wrt: ['x', 'params.layers.0.ffn.w_1'] },
  })),
]

export const STACK_CASES: Case[] = [...shapes, ...beside, ...given]
