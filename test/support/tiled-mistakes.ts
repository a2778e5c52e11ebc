/** What a tiled kernel is asked, the mistakes that it can make, and those that do not stand within its loops. */

export interface Tensor {
  shape: number[]
  data: number[]
}

export interface TiledProblem {
  /** [B, H, N, d], [B, H_kv, M, d], [B, H_kv, M, d] */
  q: Tensor
  k: Tensor
  v: Tensor
  gradOutput: Tensor
  causal?: 'top_left' | 'bottom_right'
  window?: { left: number; right: number }
  softcap?: number
  scale?: number
  /** [N, M] */
  bool?: boolean[]
  float?: number[]
  /** [H] */
  slopes?: number[]
  kvLength?: number
  /** of a weight, with its factor in it */
  keep?: (b: number, h: number, i: number, j: number) => number
  /** of both, from position 0 on */
  rope?: { interleaved: boolean }
}

export const MISTAKES = [
  ...[
    'scale-missing',
    'scale-twice',
    'scale-doubled',
    'scale-by-d',
    'scale-ignored',
    'scale-log2e',
    'scale-ln2',
  ],
  ...['causal-missing', 'causal-added', 'causal-other-corner', 'causal-strict', 'causal-wide'],
  ...['window-missing', 'window-narrow', 'window-wide', 'window-other-corner'],
  ...['softcap-missing', 'softcap-last'],
  ...['mask-missing', 'mask-inverted', 'bias-missing', 'bias-subtracted', 'lengths-missing'],
  ...['alibi-missing', 'alibi-sign', 'rope-missing', 'rope-other-pairs'],
  ...['heads-interleaved', 'kv-heads-reversed', 'k-and-v-swapped', 'strides-of-other-layout'],
  ...[
    'lse-base-2',
    'lse-without-maximum',
    'dropout-unscaled',
    'dropout-missing',
    'empty-nan',
    'empty-uniform',
  ],
  ...['delta-missing', 'dq-scale-missing', 'dk-scale-missing', 'both-scales-missing', 'dq-scale-twice'],
  ...[
    'dk-scale-twice',
    'group-last',
    'group-first',
    'group-mean',
    'backward-mask-missing',
    'dk-and-dv-swapped',
  ],
  ...[
    'batch-wrong',
    'head-wrong',
    'query-tile-wrong',
    'query-tail-wrong',
    'key-tile-wrong',
    'dimension-tail-wrong',
  ],
  ...['rescale-missing', 'key-tail-lost'],
] as const

export type Mistake = (typeof MISTAKES)[number]

export const QUERY_TILE = 8
export const KEY_TILE = 8

const f = Math.fround

export function scaleOf({ scale }: TiledProblem, dim: number, mistake: Mistake | undefined): number {
  const own = scale ?? 1 / Math.sqrt(dim)
  switch (mistake) {
    case 'scale-missing':
      return 1
    case 'scale-twice':
      return own * own
    case 'scale-doubled':
      return 2 * own
    case 'scale-by-d':
      return 1 / dim
    case 'scale-ignored':
      return 1 / Math.sqrt(dim)
    case 'scale-log2e':
      return own * Math.LOG2E
    case 'scale-ln2':
      return own * Math.LN2
    default:
      return own
  }
}

/** Whether row i attends to key j. */
export function masksOf(problem: TiledProblem, queries: number, keys: number, mistake: Mistake | undefined) {
  const { causal, window, bool, kvLength } = problem
  const is = (name: Mistake) => mistake === name
  const offset = keys - queries
  const corner = is('causal-added') ? 'top_left' : causal
  const isBottom = (corner === 'bottom_right') !== is('causal-other-corner')
  const windowOffset = (causal === 'bottom_right') !== is('window-other-corner') ? offset : 0
  const end = is('causal-strict') ? -1 : is('causal-wide') ? 1 : 0
  const left = (window?.left ?? 0) + (is('window-narrow') ? -1 : is('window-wide') ? 1 : 0)
  return (i: number, j: number) => {
    if (corner !== undefined && !is('causal-missing') && j > i + (isBottom ? offset : 0) + end) return false
    if (window !== undefined && !is('window-missing')) {
      const aligned = i + windowOffset
      if (j < aligned - left || j > aligned + window.right) return false
    }
    if (kvLength !== undefined && !is('lengths-missing') && j >= kvLength) return false
    if (bool === undefined || is('mask-missing')) return true
    return bool[i * keys + j] !== is('mask-inverted')
  }
}

/** `turn`: 1 forward, −1 for gradients. */
export function rotated(
  { shape, data }: Tensor,
  { rope }: TiledProblem,
  mistake: Mistake | undefined,
  turn = 1,
): number[] {
  if (rope === undefined || mistake === 'rope-missing') return data
  const [rows, dim] = [shape[2], shape[3]]
  const interleaved = rope.interleaved !== (mistake === 'rope-other-pairs')
  const result = [...data]
  for (let at = 0; at < data.length; at += dim) {
    const position = (at / dim) % rows
    for (let pair = 0; pair < dim / 2; pair++) {
      const angle = turn * position * 10000 ** ((-2 * pair) / dim)
      const [x, y] = interleaved ? [at + 2 * pair, at + 2 * pair + 1] : [at + pair, at + pair + dim / 2]
      result[x] = f(data[x] * Math.cos(angle) - data[y] * Math.sin(angle))
      result[y] = f(data[x] * Math.sin(angle) + data[y] * Math.cos(angle))
    }
  }
  return result
}

interface Sizes {
  batch: number
  heads: number
  queries: number
  kvHeads: number
  keys: number
  dim: number
}

/** A part that is not written, or at the wrong place. */
export function damage(
  { output, gradK }: { output: Float32Array; gradK: Float32Array },
  { batch, heads, queries, kvHeads, keys, dim }: Sizes,
  mistake: Mistake | undefined,
): void {
  const head = queries * dim
  switch (mistake) {
    case 'batch-wrong':
      output.copyWithin((batch - 1) * heads * head, 0, heads * head)
      break
    case 'head-wrong':
      for (let b = 0; b < batch; b++) output.fill(0, (b * heads + 2) * head, (b * heads + 3) * head)
      break
    case 'query-tile-wrong':
      for (let unit = 0; unit < batch * heads; unit++) {
        output.copyWithin(unit * head + QUERY_TILE * dim, unit * head, unit * head + QUERY_TILE * dim)
      }
      break
    case 'query-tail-wrong':
      for (let unit = 0; unit < batch * heads; unit++) {
        output.fill(0, unit * head + Math.floor(queries / QUERY_TILE) * QUERY_TILE * dim, (unit + 1) * head)
      }
      break
    case 'key-tile-wrong':
      for (let unit = 0; unit < batch * kvHeads; unit++) {
        gradK.fill(0, (unit * keys + KEY_TILE) * dim, (unit * keys + 2 * KEY_TILE) * dim)
      }
      break
    case 'dimension-tail-wrong':
      for (let at = 0; at < output.length; at += dim) output.fill(0, at + dim - 2, at + dim)
      break
  }
}
