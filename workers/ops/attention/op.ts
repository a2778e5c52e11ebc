/**
 * Scaled dot-product attention, its maps and its gradients. Everything is normalised to rank 4: q [batch, heads, queries, dimK],
 * k [batch, kvHeads, keys, dimK], v [batch, kvHeads, keys, dimV]. Query head h reads kv head ⌊h·kvHeads/heads⌋; heads is a
 * multiple of kvHeads.
 */
import { KEY_BLOCK, QUERY_TILE } from '../../layout.ts'
import { type Args, data, price, type Tensors, type TensorsOf } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import { type AttentionArgs, args, gradientWords, words } from './args.ts'
import {
  areas,
  backwardTime,
  forwardTime,
  mapsTime,
  maskGradientTime,
  weightGradientTime,
} from './resources.ts'
import { family, gradientTensors, maps, type ScoreTensors, scoreTensors } from './tensors.ts'

export { attentionJvp, type JvpTensors, KEPT_TILES } from './jvp-op.ts'
export type { AttentionArgs, ScoreTensors }
export { ELEMENT_BLOCK }

function tiles(rows: number): number {
  return Math.ceil(rows / QUERY_TILE)
}

function queryTiles({ batch, heads, queries }: AttentionArgs): number {
  return batch * heads * tiles(queries)
}

function pairsOf({ batch, heads, queries, keys }: AttentionArgs): number {
  return batch * heads * queries * keys
}

/** Unit = QUERY_TILE query rows of one (batch, head), all independent. */
export const attentionForward = family.define('attentionForward', {
  tensors: {
    ...scoreTensors,
    v: 'in',
    /** [batch, heads, queries, dimV]; zeros where a row attends to nothing */
    output: 'out',
    denominator: 'out:float64',
    /** [batch, heads, queries] = m + ln Σ_j exp(s_j − m); −∞ where a row attends to nothing */
    logsumexp: 'out:float64',
    /** [batch, heads, queries] = −Σ p ln p of the weights before dropout; 0 where nothing is attended */
    entropy: 'out?',
    /** [batch, heads, queries]: the row's largest masked score; −∞ where nothing is attended */
    maxima: 'out?',
    ...maps,
  },
  args,
  units: queryTiles,
  group: a => tiles(a.queries),
  /** `scores` takes the products of the pairs that no row attends to, too */
  cost: (a, context) => {
    const { tensors, area } = context
    const unseen = tensors.scores === undefined ? 0 : pairsOf(a) - a.heads * area
    return {
      flops: 2 * a.heads * area * (a.dimK + a.dimV) + 2 * unseen * a.dimK,
      nanoseconds: forwardTime(a, context),
    }
  },
  words,
  areas,
})

/** The maps alone, where the denominator is not that of one forward pass over these scores. The same units as attentionForward. */
export const attentionMaps = family.define('attentionMaps', {
  tensors: { ...scoreTensors, denominator: 'in:float64', ...maps },
  args,
  units: queryTiles,
  group: a => tiles(a.queries),
  cost: (a, context) => ({ flops: 2 * pairsOf(a) * a.dimK, nanoseconds: mapsTime(a, context) }),
  words,
  areas,
})

/** Parts that the keys of a head are gone through in, backward, at most. */
const MOST_PARTS = 4

/** In how many parts: as `backwardParts` in src/layers/attention/softmax.ts, for sequences whose keys only a worker counts. */
export function partsOf(keys: number): number {
  return Math.max(1, Math.min(MOST_PARTS, Math.floor(keys / (2 * KEY_BLOCK))))
}

/** Key blocks of one part. With keys = 0 still 1, so that gradQ is zeroed. */
function partBlocks({ keys, parts }: { keys: number; parts: number }): number {
  return Math.max(1, Math.ceil(Math.ceil(keys / KEY_BLOCK) / parts))
}

/**
 * Unit = KEY_BLOCK keys of one kv head against one query head of its group, numbered
 * (((batch·kvHeads + kvHead)·parts + part)·L + l)·group + member, group = heads/kvHeads, where a part has
 * L = ⌈⌈keys/KEY_BLOCK⌉/parts⌉ key blocks, keyBlock = part·L + l (the last parts may lack some: such a unit does nothing).
 * Where parts are `apart`, the units of one (batch, kvHead, part) run in this order, one after the other (they accumulate into
 * gradQ or gradQParts, gradK, gradV); otherwise those of one (batch, kvHead). Others are independent. l = 0 initialises the
 * part's gradQ of its query head, and delta where it is the chain's first; member 0 initialises the block's gradK and gradV.
 *
 * gradQ is the same sum, to the bit, either way: of the parts' own sums, in their order. A part is the same blocks of its head's
 * keys whatever else the call holds, so that gradients do not depend on the batch.
 */
export const attentionBackward = family.define('attentionBackward', {
  tensors: {
    ...gradientTensors,
    /** [parts apart or 1, batch, heads, queries] = Σ_d output·gradOutput + rowTerms, written by a chain's first unit and read by its others */
    delta: 'work',
    gradQ: 'out?',
    /**
     * where gradQ is and there are several parts. Apart: [parts − 1, batch, heads, queries, dimK], to be added to gradQ in order.
     * Otherwise [batch, heads, queries, dimK]: a part's own sum, which its last unit adds to gradQ
     */
    gradQParts: 'out?',
    gradK: 'out?',
    gradV: 'out?',
  },
  args: {
    ...args,
    /** the keys of a head are gone through in this many parts: part 0 adds to gradQ, the others to gradQParts */
    parts: 'i32',
    /** parts are independent of each other, for the cores to share a request of few heads */
    apart: 'flag?',
  },
  units: a => a.batch * a.heads * a.parts * partBlocks(a),
  chain: a => (a.apart ? 1 : a.parts) * partBlocks(a) * (a.heads / a.kvHeads),
  cost: (a, context) => {
    const { tensors, area } = context
    const products =
      (tensors.gradV === undefined ? 0 : a.dimV) +
      (tensors.gradK === undefined ? 0 : a.dimK) +
      (tensors.gradQ === undefined ? 0 : a.dimK)
    return {
      flops: 2 * a.heads * area * (a.dimK + a.dimV + products),
      nanoseconds: backwardTime(a, context),
    }
  },
  words: { ...gradientWords, partBlocks: { type: 'i32', of: partBlocks } },
  areas,
})

/** Unit = QUERY_TILE rows of maskShape[2] of one (mask batch, mask head): each sums over every (b, h, i) it serves. */
export const attentionMaskGradient = family.define('attentionMaskGradient', {
  tensors: {
    ...gradientTensors,
    /** [maskShape], contiguous: ∂L/∂mask summed over the broadcast axes; 0 where the mask is −∞ */
    gradMask: 'out',
  },
  args: {
    ...args,
    /** the mask's extent along [batch, heads, queries, keys], 1 where broadcast */
    maskShape: data<[number, number, number, number]>(),
  },
  units: ({ maskShape: [batch, heads, rows] }) => batch * heads * tiles(rows),
  cost: (a, context) => ({
    flops: 2 * a.heads * context.area * (a.dimK + a.dimV),
    nanoseconds: maskGradientTime(a, context),
  }),
  words: {
    ...gradientWords,
    maskBatch: { type: 'i32', of: a => a.maskShape[0] },
    maskHeads: { type: 'i32', of: a => a.maskShape[1] },
    maskQueries: { type: 'i32', of: a => a.maskShape[2] },
    maskKeys: { type: 'i32', of: a => a.maskShape[3] },
  },
  areas,
})

/** Parts of a head's rows that the gradient of its biases is summed in, at most. */
const MOST_ROW_PARTS = 4

/** For the cores to share a request of one head; their sums are added up afterwards. */
export function rowPartsOf({ queries }: { queries: number }): number {
  return Math.max(1, Math.min(MOST_ROW_PARTS, tiles(queries)))
}

/** Unit = one part of the rows of one head, of every batch element: the sums of its scores' gradients by distance. */
export const attentionDistanceGradient = family.define('attentionDistanceGradient', {
  tensors: {
    ...gradientTensors,
    /** [parts, heads, distances] */
    gradDistances: 'out:float64',
  },
  args: {
    ...args,
    parts: 'i32',
    /** adds to what stands there */
    further: 'flag?',
  },
  units: a => a.heads * a.parts,
  cost: (a, context) => ({
    flops: 2 * a.heads * context.area * (a.dimK + a.dimV),
    nanoseconds: maskGradientTime(a, context),
  }),
  words: gradientWords,
  areas,
})

/** An element of a map through the softcap. */
const CAPPED = price(1, 25)

/** y = cap·tanh(x/cap), element by element; y may be x itself. Unit = ELEMENT_BLOCK elements. */
export const softcapScores = family.define('softcapScores', {
  tensors: { x: 'in', y: 'out' },
  args: { count: 'i32', cap: 'f32' },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ flops: a.count, nanoseconds: a.count * CAPPED[p] }),
})

/** ∂L/∂weights [batch, heads, queries, keys]. Unit = query row of [batch, heads, queries]. */
export const weightGradient = family.define('weightGradient', {
  tensors: {
    /** [batch, heads, queries, keys]: gradOutput·v, or −∞ where not attended if `maskedScores` is not given */
    products: 'in',
    /** [batch, heads, queries, keys] from attentionMaps: −∞ where not attended; needed for the entropy term */
    maskedScores: 'in?',
    /** [batch, heads, queries, 2] from the forward kernel, needed for the entropy term */
    denominator: 'in?:float64',
    /** [2] = (loss, entropy coefficient) */
    scalars: 'in?:float64',
    /** [batch, heads, queries, keys]; may be `products` itself */
    gradWeights: 'out',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    queries: 'i32',
    keys: 'i32',
    dropoutP: 'f64',
    seedLow: 'u32',
    seedHigh: 'u32',
  },
  units: a => a.batch * a.heads * a.queries,
  cost: (a, { units, tensors, precision }) => ({
    flops: units * (2 * a.keys),
    nanoseconds: weightGradientTime(
      units * a.keys,
      a.dropoutP > 0 || tensors.maskedScores !== undefined,
      precision,
    ),
  }),
  shared: true,
})

export type ForwardTensors = Tensors<typeof attentionForward>
export type MapsTensors = Tensors<typeof attentionMaps>
export type BackwardTensors = Tensors<typeof attentionBackward>
export type GradientTensors = TensorsOf<typeof gradientTensors>
export type DistanceGradientTensors = Tensors<typeof attentionDistanceGradient>
export type MaskGradientTensors = Tensors<typeof attentionMaskGradient>
export type WeightGradientTensors = Tensors<typeof weightGradient>
export type BackwardArgs = Args<typeof attentionBackward>
export type DistanceGradientArgs = Args<typeof attentionDistanceGradient>
export type MaskGradientArgs = Args<typeof attentionMaskGradient>
export type WeightGradientArgs = Args<typeof weightGradient>
