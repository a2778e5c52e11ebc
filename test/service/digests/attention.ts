/** `POST /v1/attention`: every option and mask, with maps and with gradients, in both precisions. */
import { ATTENTION, type Case, inBoth } from './case.ts'
import { type Body, type Draw, spoiled } from './tensors.ts'

const MAPS = ['output', 'weights', 'scores', 'masked_scores', 'logsumexp', 'entropy']

interface Sizes {
  b?: number
  h?: number
  kv?: number
  n?: number
  m?: number
  dk?: number
  dv?: number
}

/** q, k, v and the shape of the output. */
export function operands(draw: Draw, sizes: Sizes = {}) {
  const { b = 2, h = 4, n = 19, m = 23, dk = 8, dv = 5 } = sizes
  const kv = sizes.kv ?? h
  return { q: draw(b, h, n, dk), k: draw(b, kv, m, dk), v: draw(b, kv, m, dv) }
}

type Options = (draw: Draw, sizes: Required<Pick<Sizes, 'b' | 'h' | 'n' | 'm'>>) => Body

const OPTIONS: [string, Options, Sizes?][] = [
  ['plain', () => ({})],
  ['causal', () => ({ causal: true })],
  ['causal bottom_right, more keys', () => ({ causal: 'bottom_right' })],
  ['causal bottom_right, rows without keys', () => ({ causal: 'bottom_right' }), { n: 23, m: 17 }],
  ['window', () => ({ window: { left: 3, right: 2 } })],
  ['window left, causal', () => ({ window: { left: 4, right: null }, causal: true })],
  ['window right, bottom_right', () => ({ window: { left: null, right: 1 }, causal: 'bottom_right' })],
  ['window of one key', () => ({ window: { left: 0, right: 0 } })],
  ['lengths', () => ({ q_lengths: [19, 7], kv_lengths: [5, 23] })],
  ['lengths, some 0', () => ({ q_lengths: [0, 19], kv_lengths: [9, 0] })],
  ['lengths, bottom_right', () => ({ q_lengths: [11, 19], kv_lengths: [21, 8], causal: 'bottom_right' })],
  ['lengths, window, alibi', () => ({ kv_lengths: [21, 8], window: { left: 6, right: 3 }, alibi: true })],
  ['bool mask', (draw, { n, m }) => ({ mask: draw.bools(n, m) })],
  ['bool mask of keys', (draw, { b, m }) => ({ mask: draw.bools(b, 1, 1, m) })],
  ['bool mask of rows and heads', (draw, { h, n }) => ({ mask: draw.bools(h, n, 1) })],
  ['bool mask, causal', (draw, { b, h, n, m }) => ({ mask: draw.bools(b, h, n, m), causal: true })],
  ['float mask', (draw, { b, h, n, m }) => ({ mask: draw(b, h, n, m) })],
  ['float mask of keys', (draw, { m }) => ({ mask: draw(1, m) })],
  ['float mask of heads', (draw, { h }) => ({ mask: draw(h, 1, 1), causal: true })],
  [
    'float mask with -Infinity',
    (draw, { n, m }) => ({
      mask: spoiled(draw(n, m), '-Infinity', ([i, j]) => i === 3 || (i * 7 + j) % 5 < 2),
    }),
  ],
  ['alibi', () => ({ alibi: true })],
  ['alibi, six heads in groups', () => ({ alibi: true, causal: true }), { h: 6, kv: 2 }],
  ['alibi slopes', draw => ({ alibi: draw(4) })],
  ['alibi bottom_right', () => ({ alibi: true, causal: 'bottom_right' }), { n: 7 }],
  ['softcap', () => ({ softcap: 0.7 })],
  ['softcap, float mask, causal', (draw, { n, m }) => ({ softcap: 2, mask: draw(n, m), causal: true })],
  ['scale', () => ({ scale: 1.7 })],
  ['scale 0', () => ({ scale: 0 })],
  ['scale below 0', () => ({ scale: -0.4, causal: true })],
  ['qk_norm l2', () => ({ qk_norm: 'l2', scale: 5 })],
  ['qk_norm l2 with eps', () => ({ qk_norm: { kind: 'l2', eps: 2 } })],
  ['qk_norm rms', () => ({ qk_norm: { kind: 'rms' } })],
  ['qk_norm rms with eps, rope', () => ({ qk_norm: { kind: 'rms', eps: 0.1 }, rope: {} })],
  ['rope', () => ({ rope: {} })],
  ['rope interleaved', () => ({ rope: { interleaved: true, base: 500 } })],
  ['rope of some dims, offsets', () => ({ rope: { dims: 4, q_offset: 11, k_offset: -3 } })],
  ['dropout', () => ({ dropout: { p: 0.3, seed: 11 } })],
  ['dropout, causal, seed 0', () => ({ dropout: { p: 0.5 }, causal: true })],
  ['groups of heads', () => ({}), { h: 6, kv: 3 }],
  ['one head of keys', () => ({ causal: true }), { h: 5, kv: 1 }],
  ['one row of two batches', () => ({ causal: 'bottom_right' }), { n: 1, m: 33 }],
  [
    'everything',
    (draw, { b, n, m }) => ({
      scale: 0.9,
      softcap: 3,
      mask: draw(b, 1, n, m),
      causal: 'bottom_right',
      q_lengths: [19, 15],
      kv_lengths: [22, 13],
      window: { left: 9, right: null },
      alibi: true,
      qk_norm: { kind: 'rms', eps: 1e-3 },
      rope: { interleaved: true, dims: 6, q_offset: 4 },
      dropout: { p: 0.2, seed: 77 },
    }),
    { h: 6, kv: 2 },
  ],
]

function withOptions(draw: Draw, options: Options, sizes: Sizes = {}): Body {
  const { b = 2, h = 4, n = 19, m = 23 } = sizes
  return { ...operands(draw, sizes), ...options(draw, { b, h, n, m }) }
}

/** Half of them with a target, half with grad_output. */
function loss(draw: Draw, index: number, { b = 2, h = 4, n = 19, dv = 5 }: Sizes = {}): Body {
  const tensor = draw(b, h, n, dv)
  if (index % 4 === 0) return { grad_output: tensor }
  if (index % 4 === 1) return { target: tensor, entropy_weight: 0.4 }
  if (index % 4 === 2) return { grad_output: tensor, entropy_weight: -0.3 }
  return { target: tensor, loss: 'mean_squared_error' }
}

const options = OPTIONS.flatMap(([name, more, sizes], index) => {
  const dropped = name.startsWith('dropout') || name === 'everything' ? ['dropped_weights'] : []
  return [
    ...inBoth(ATTENTION, `${name}, maps`, draw => ({
      ...withOptions(draw, more, sizes),
      return: [...MAPS, ...dropped],
    })),
    ...inBoth(ATTENTION, `${name}, gradients`, draw => ({
      ...withOptions(draw, more, sizes),
      backward: loss(draw, index, sizes),
    })),
  ]
})

export const ATTENTION_OPTIONS: Case[] = options
