/**
 * What a kernel is asked to do: pointers, sizes, options, and the areas of the task's scratch memory. The loader
 * (`../call.ts`) writes these words, in this order, at the beginning of the scratch area; every field has four bytes.
 * A pointer is 0 where there is no such tensor.
 */
@unmanaged
export class Call {
  // tensors
  q: usize
  k: usize
  v: usize
  output: usize
  logsumexp: usize
  entropy: usize
  mask: usize
  slopes: usize
  intervals: usize
  shifts: usize
  earlierRanks: usize
  earlierIntervals: usize
  scores: usize
  maskedScores: usize
  weights: usize
  droppedWeights: usize
  gradOutput: usize
  delta: usize
  gradQ: usize
  gradQParts: usize
  gradK: usize
  gradV: usize
  gradMask: usize
  // sizes
  batch: i32
  heads: i32
  kvHeads: i32
  queries: i32
  keys: i32
  dimK: i32
  dimV: i32
  // options
  scale: f32
  softcap: f32
  /** rows between the intervals of neighbours along the batch and the heads; 0 where they share them */
  intervalBatch: usize
  intervalHead: usize
  /** what is added to a row's index to place it among the keys, where `shifts` does not say it */
  shift: i32
  /** 0 none, 1 bool, 2 float */
  maskKind: i32
  /** passes before this one, whose pairs are masked */
  earlier: i32
  /** independent parts of a head's keys in the backward pass, and the key blocks of each */
  parts: i32
  partBlocks: i32
  maskStrideBatch: usize
  maskStrideHead: usize
  maskStrideQuery: usize
  maskStrideKey: usize
  maskBatch: i32
  maskHeads: i32
  maskQueries: i32
  maskKeys: i32
  /** 1 when p ≠ 0; weights are kept where bits ≥ dropThreshold, and multiplied by keepScale = 1/(1−p) */
  dropout: i32
  dropThreshold: u32
  keepScale: f32
  seedLow: u32
  seedHigh: u32
  careful: i32
  /** λ/R of the entropy term; 0 without one */
  entropyCoefficient: f32
  /** 1: the products take their factor from memory */
  one: f32
  /** most dimensions packed at a time */
  depth: i32
  /** query tiles that share a packed key block */
  tilesTogether: i32
  // scratch areas
  /** Oᵀ [depth][24], for delta */
  queryPack: usize
  /** Kᵀ in panels [128/NR][depth][NR] */
  keyPack: usize
  /** ∂Oᵀ [depth][24] */
  gradOutputPack: usize
  /** Vᵀ in panels [96/NR][depth][NR] */
  valuePack: usize
  /** K's, V's rows in panels [⌈d/NR⌉][130][NR] where they fit whole, otherwise the last, incomplete panel */
  keyRows: usize
  valueRows: usize
  /** the last, incomplete panel of Q, ∂O [24][NR] */
  queryEdge: usize
  gradOutputEdge: usize
  /** [24][144]: scores, then weights */
  tile: usize
  /** [24][144]: ∂P, then ∂S */
  gradTile: usize
  /** [24][144]: tanh of the softcap */
  tanhTile: usize
  /** bytes [24][128], in careful mode: which pairs are attended */
  attended: usize
  /** [6][NR] where a product meets the edge of its result */
  spare: usize
  /** i32 [tilesTogether][24] each: the keys [rowFrom, rowTo) that a row may attend to by its position */
  rowFrom: usize
  rowTo: usize
  /** i32 [tilesTogether][2]: the keys that all rows of a tile see */
  common: usize
  /** i32 [4][2] each: columns of the score tile that a group of six rows sees, and widened to multiples of 16 */
  seen: usize
  ranges: usize
  /** i32 [16][2]: rows of the score tile that see one of a group of six columns */
  columnRanges: usize
  /** f32 [tilesTogether][24]: what is subtracted from a row's scores, −∞ before there are any */
  runningMax: usize
  /** f32 [tilesTogether][24][8] each: Σ e and Σ e·(s − max), lane by lane */
  runningSum: usize
  runningMoment: usize
  /** f32 [24] each: the tile's maxima, and the factors of what came before */
  tileMax: usize
  tileFactor: usize
  /** f32 [24][8]: the tile's maxima, lane by lane */
  laneMax: usize
  /** f32 [24] each: logsumexp of the tile's rows in two parts */
  shiftUpper: usize
  shiftLower: usize
  /** i32 [tilesTogether][2]: the keys that some row of a tile sees */
  tileKeys: usize
  /** i32, f32 [tilesTogether][2]: see fixed-softmax.ts */
  tileState: usize
  /** f32 [12]: see exponentials.ts */
  constants: usize
}
