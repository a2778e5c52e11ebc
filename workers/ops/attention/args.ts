/** What attention's kernels are told beside their tensors, and the words of a call that follow from it. */
import { type ArgsOf, data, defineArgs, oneOf } from '../define-op.ts'
import { packDepth, tilesTogether } from './resources.ts'

/** What attention computes, apart from its tensors. */
export const args = defineArgs({
  batch: 'i32',
  heads: 'i32',
  kvHeads: 'i32',
  queries: 'i32',
  keys: 'i32',
  dimK: 'i32',
  dimV: 'i32',
  /** s = scale · q·k */
  scale: 'f32',
  /** s → softcap·tanh(s/softcap); 0 = none */
  softcap: 'f32',
  /** rows between the intervals of neighbours along [batch, heads]; 0 where they share them */
  intervalStrides: data<[number, number]>(),
  /** what is added to a row's index to place it among the keys, where no tensor `shifts` says it; for ALiBi */
  shift: 'i32',
  /** of `distanceBiases`, where they are: how many a head has, and which distance j − aligned i the first is for */
  distances: 'i32',
  firstDistance: 'i32',
  /** bool: a byte an element, 0 = masked; float: added to the scores, −∞ masks (element type = the precision's) */
  maskKind: oneOf('none', 'bool', 'float'),
  /** elements between neighbours of the mask along [batch, heads, queries, keys]; 0 where it is broadcast */
  maskStrides: data<[number, number, number, number]>(),
  /** passes over the same keys that come before this one, see `earlierRanks` */
  earlier: 'i32',
  /** dropout of the weights, see `ops/dropout.ts` for the generator; p = 0 means none */
  dropoutP: 'f64',
  /** the seed's low and high 32 bits, unsigned */
  seedLow: 'u32',
  seedHigh: 'u32',
  /**
   * An input holds NaN or ±∞ (only with `non_finite: "propagate"`): the kernels must then take no shortcut through
   * 0·x = 0, because a masked position leaks nothing, not even a NaN that stands there.
   */
  nonFinite: 'flag?',
  /**
   * q, output and their gradients are [batch, queries, heads, …], k, v and theirs [batch, keys, kvHeads, …]. What there is of rows
   * and pairs besides has heads first all the same.
   */
  positionsFirst: 'flag?',
})

export type AttentionArgs = ArgsOf<typeof args>

export const words = {
  intervalBatch: { type: 'u32' as const, of: (a: AttentionArgs) => a.intervalStrides[0] },
  intervalHead: { type: 'u32' as const, of: (a: AttentionArgs) => a.intervalStrides[1] },
  maskStrideBatch: { type: 'u32' as const, of: (a: AttentionArgs) => a.maskStrides[0] },
  maskStrideHead: { type: 'u32' as const, of: (a: AttentionArgs) => a.maskStrides[1] },
  maskStrideQuery: { type: 'u32' as const, of: (a: AttentionArgs) => a.maskStrides[2] },
  maskStrideKey: { type: 'u32' as const, of: (a: AttentionArgs) => a.maskStrides[3] },
  /** 1 when p ≠ 0; weights are kept where bits ≥ dropThreshold, and multiplied by keepScale = 1/(1−p) */
  dropout: { type: 'i32' as const, of: (a: AttentionArgs) => Number(a.dropoutP > 0) },
  dropThreshold: { type: 'u32' as const, of: (a: AttentionArgs) => Math.floor(a.dropoutP * 2 ** 32) },
  keepScale: { type: 'f32' as const, of: (a: AttentionArgs) => 1 / (1 - a.dropoutP) },
  /** the products take their factor from memory */
  one: { type: 'f32' as const, of: () => 1 },
  /** most dimensions packed at a time */
  depth: { type: 'i32' as const, of: packDepth },
  /** query tiles that share a packed key block */
  tilesTogether: { type: 'i32' as const, of: tilesTogether },
}

export const gradientWords = {
  ...words,
  /** λ/R of the entropy term; 0 without one */
  entropyCoefficient: {
    type: 'f32' as const,
    of: (_: AttentionArgs, { scalars }: { scalars?: Float64Array }) => scalars?.[1] ?? 0,
  },
}
