/** `POST /v1/attention`: sizes, ranks, nothing at all, the past, what `return` and `wrt` name, and numbers that are none. */
import { operands } from './attention.ts'
import { ATTENTION, type Case, inBoth } from './case.ts'
import { type Body, type Draw, spoiled, type Tensor } from './tensors.ts'

const BOTH_CAUSAL = [false, true]

/** Operands with grad_output, one batch, two heads. */
function sized(draw: Draw, n: number, m: number, dk: number, dv: number): Body {
  const sizes = { b: 1, h: 2, kv: 1, n, m, dk, dv }
  return { ...operands(draw, sizes), backward: { grad_output: draw(1, 2, n, dv) } }
}

const SIZES: [number, number, number, number][] = [
  [1, 1, 1, 1],
  [3, 7, 3, 1],
  [7, 3, 17, 7],
  [17, 17, 59, 3],
  [59, 97, 7, 17],
  [97, 59, 64, 64],
  [111, 111, 16, 32],
  [257, 257, 17, 16],
  [1, 257, 97, 59],
  [257, 1, 8, 111],
]

const sizes = SIZES.flatMap(([n, m, dk, dv]) =>
  BOTH_CAUSAL.flatMap(causal =>
    inBoth(ATTENTION, `${n} rows, ${m} keys, d ${dk} and ${dv}${causal ? ', causal' : ''}`, draw => ({
      ...sized(draw, n, m, dk, dv),
      causal,
    })),
  ),
)

const ranks = [
  ...inBoth(ATTENTION, 'rank 2', draw => ({
    q: draw(7, 3),
    k: draw(11, 3),
    v: draw(11, 2),
    mask: draw.bools(7, 11),
    return: ['output', 'weights', 'entropy'],
    backward: { target: draw(7, 2) },
  })),
  ...inBoth(ATTENTION, 'rank 3', draw => ({
    q: draw(3, 7, 4),
    k: draw(3, 11, 4),
    v: draw(3, 11, 6),
    alibi: true,
    kv_lengths: [11, 0, 4],
    return: ['output', 'weights', 'logsumexp'],
    backward: { target: draw(3, 7, 6), loss: 'mean_squared_error' },
  })),
]

const empty = [
  ['no batch', { b: 0 }],
  ['no rows', { n: 0 }],
  ['no keys', { m: 0 }],
].flatMap(([name, extent]) => {
  const all = { b: 2, h: 2, n: 3, m: 4, dk: 2, dv: 2, ...(extent as object) }
  return inBoth(ATTENTION, name as string, draw => ({
    ...operands(draw, all),
    return: ['output', 'weights', 'logsumexp', 'entropy'],
    backward: { target: draw(all.b, all.h, all.n, all.dv), entropy_weight: 1 },
  }))
})

function withPast(draw: Draw, past: number): Body {
  return {
    ...operands(draw, { kv: 2 }),
    past_k: draw(2, 2, past, 8),
    past_v: draw(2, 2, past, 5),
    return: ['output', 'weights', 'present_k', 'present_v'],
  }
}

const wholePast = ['q', 'k', 'v', 'past_k', 'past_v']
const past = [
  ...inBoth(ATTENTION, 'past', draw => withPast(draw, 13)),
  ...inBoth(ATTENTION, 'past, causal, rope, alibi, window', draw => ({
    ...withPast(draw, 13),
    causal: true,
    rope: {},
    alibi: true,
    window: { left: 20, right: 5 },
  })),
  ...inBoth(ATTENTION, 'past, bottom_right, qk_norm, lengths', draw => ({
    ...withPast(draw, 9),
    causal: 'bottom_right',
    qk_norm: 'l2',
    kv_lengths: [32, 17],
    backward: { grad_output: draw(2, 4, 19, 5), wrt: wholePast },
  })),
  ...inBoth(ATTENTION, 'past, float mask', draw => ({
    ...withPast(draw, 5),
    mask: draw(19, 28),
    backward: { target: draw(2, 4, 19, 5), wrt: ['past_k', 'mask'] },
  })),
  ...inBoth(ATTENTION, 'past of length 0', draw => ({
    ...withPast(draw, 0),
    backward: { target: draw(2, 4, 19, 5), wrt: ['q'] },
  })),
  ...inBoth(ATTENTION, 'past of length 0, its gradient', draw => ({
    ...withPast(draw, 0),
    backward: { target: draw(2, 4, 19, 5), wrt: ['past_k', 'past_v'] },
  })),
]

const RETURNS = ['output', 'weights', 'scores', 'masked_scores', 'logsumexp', 'entropy', 'dropped_weights']
const named = [
  ...RETURNS.flatMap(name =>
    inBoth(ATTENTION, `only ${name}`, draw => ({
      ...operands(draw, { b: 1 }),
      causal: true,
      softcap: 4,
      dropout: { p: 0.1, seed: 3 },
      return: [name],
    })),
  ),
  ...inBoth(ATTENTION, 'return nothing, wrt nothing', draw => ({
    ...operands(draw),
    return: [],
    backward: { target: draw(2, 4, 19, 5), wrt: [] },
  })),
  ...['q', 'k', 'v', 'mask'].flatMap(name =>
    inBoth(ATTENTION, `wrt ${name} alone`, draw => ({
      ...operands(draw, { kv: 2 }),
      mask: draw(4, 1, 23),
      causal: true,
      backward: { target: draw(2, 4, 19, 5), entropy_weight: 0.2, wrt: [name] },
    })),
  ),
]

// Answers with a NaN are asked for as text: the bits of a NaN are the processor's own.
const text = { encoding: 'flat', non_finite: 'propagate' }
const beyond =
  (lengths: number[], axis: number) =>
  (index: number[]): boolean =>
    index[axis] >= lengths[index[0]]

function behindLengths(draw: Draw, value: string): Body {
  const { q, k, v } = operands(draw)
  const [rows, keys] = [
    [19, 7],
    [5, 23],
  ]
  const spoil = (tensor: Tensor, lengths: number[]) => spoiled(tensor, value, beyond(lengths, 2))
  return {
    ...text,
    q: spoil(q, rows),
    k: spoil(k, keys),
    v: spoil(v, keys),
    q_lengths: rows,
    kv_lengths: keys,
    backward: { grad_output: spoil(draw(2, 4, 19, 5), rows), entropy_weight: 0.5 },
  }
}

const nonFinite = [
  ...inBoth(ATTENTION, 'NaN behind lengths', draw => behindLengths(draw, 'NaN')),
  ...inBoth(ATTENTION, 'Infinity behind lengths', draw => behindLengths(draw, 'Infinity')),
  ...inBoth(ATTENTION, 'NaN behind causal', draw => {
    const { q, k, v } = operands(draw)
    const late = ([, , position]: number[]) => position >= 19
    const from = { ...text, q, k: spoiled(k, 'NaN', late), v: spoiled(v, '-Infinity', late), causal: true }
    return { ...from, return: ['output', 'weights'], backward: { target: draw(2, 4, 19, 5) } }
  }),
  ...inBoth(ATTENTION, 'NaN behind a bool mask', draw => {
    const { q, k, v } = operands(draw)
    const third = ([, , position]: number[]) => position % 3 === 0
    const mask = { shape: [23], data: Array.from({ length: 23 }, (_, j) => j % 3 !== 0) }
    return {
      ...text,
      q,
      k: spoiled(k, 'NaN', third),
      v: spoiled(v, 'NaN', third),
      mask,
      return: ['output', 'weights', 'entropy'],
      backward: { grad_output: draw(2, 4, 19, 5) },
    }
  }),
  ...inBoth(ATTENTION, 'NaN that is attended', draw => {
    const { q, k, v } = operands(draw)
    const one = ([, head, position]: number[]) => head === 1 && position === 9
    const spoiltV = spoiled(v, 'Infinity', ([b, , position, c]) => b === 1 && position === 2 && c === 0)
    return {
      ...text,
      q,
      k: spoiled(k, 'NaN', one),
      v: spoiltV,
      causal: true,
      return: ['output', 'weights', 'logsumexp', 'entropy', 'masked_scores'],
      backward: { target: draw(2, 4, 19, 5) },
    }
  }),
  ...inBoth(ATTENTION, 'scores as large as float32 holds', draw => ({
    ...operands(draw),
    scale: 1e30,
    causal: true,
    return: ['output', 'weights', 'entropy', 'logsumexp'],
    backward: { grad_output: draw(2, 4, 19, 5) },
  })),
]

export const ATTENTION_EDGES: Case[] = [...sizes, ...ranks, ...empty, ...past, ...named, ...nonFinite]
