/**
 * Attention over packed sequences: each attends within itself, as attention alone over it would, to the bit. A call is calls of the
 * kernels of `attention`, one for each sequence, so no time is spent on pairs of different sequences.
 *
 * With sequence s at queries cuQ[s] … cuQ[s + 1] and keys cuK[s] … cuK[s + 1], its rows stand heads first, [heads, its queries],
 * behind those of the sequences before it; keys and values likewise. So do results and, for pairs, [heads, its queries, its keys].
 */
import {
  attentionBackward,
  attentionDistanceGradient,
  attentionForward,
  attentionJvp,
  partsOf,
} from '../attention/op.ts'
import { areas } from '../attention/resources.ts'
import { type Args, defineFamily, price, type Tensors } from '../define-op.ts'
import { backwardPieces, distancePieces, forwardPieces } from './pieces.ts'
import { args, type PackedArgs } from './sizes.ts'

export { chainOf, tilesOf } from './sizes.ts'

/** A call for a sequence, and an element that is written for a map. */
const SEQUENCE = price(3000, 1500)
const SPREAD = price(0.3)

const family = defineFamily('packed-attention', { callBytes: 512 })

const scoreTensors = {
  q: 'in',
  k: 'in',
  v: 'in',
  slopes: 'in?',
  distanceBiases: 'in?',
  /** [allQueries, 2]: the keys of its sequence that a row attends to; without it, all */
  intervals: 'in?:int32',
  /** [sequences]: what is added to a row's index to place it among its sequence's keys; without it nothing is */
  shifts: 'in?:int32',
  /** [sequences + 1] each */
  cuQ: 'in:int32',
  cuK: 'in:int32',
} as const

const gradientTensors = {
  ...scoreTensors,
  output: 'in',
  denominator: 'in:float64',
  entropy: 'in?',
  gradOutput: 'in',
  scalars: 'in?:float64',
  /** as attention's: of pairs and of rows */
  weightTerms: 'in?',
  rowTerms: 'in?:float64',
  /** where there are weightTerms */
  pairStarts: 'in?:float64',
} as const

/** What the same rows and pairs in sequences of one length would take. */
function even(a: PackedArgs) {
  const { allQueries, allKeys, allPairs } = a
  if (allPairs === 0) return { ...a, batch: 1, queries: allQueries, keys: 0 }
  const keys = allPairs / allQueries
  return { ...a, batch: allKeys / keys, queries: (allQueries * keys) / allKeys, keys }
}

/** Units of attentionForward, of one sequence after the other. */
export const packedForward = family.define('packedForward', {
  tensors: {
    ...scoreTensors,
    /** [sequences + 1]: query tiles of one head in the sequences before it */
    tileStarts: 'in:int32',
    /** [sequences + 1]: pairs of one head in the sequences before it; where maps are written */
    pairStarts: 'in?:float64',
    output: 'out',
    denominator: 'out:float64',
    logsumexp: 'out:float64',
    entropy: 'out?',
    maxima: 'out?',
    scores: 'out?',
    maskedScores: 'out?',
    weights: 'out?',
    droppedWeights: 'out?',
  },
  args,
  units: a => a.heads * a.tiles,
  group: a => Math.max(1, Math.round(a.tiles / Math.max(1, a.sequences))),
  cost: (a, context) => {
    const { flops = 0, nanoseconds } = attentionForward.cost(even(a), context)
    return { flops, nanoseconds: nanoseconds + a.sequences * SEQUENCE[context.precision] }
  },
  areas,
  pieces: { op: attentionForward, cut: forwardPieces },
})

/**
 * Unit = a share of the units of attentionBackward for one (sequence, kv head), which all have as many shares and are chains. (The
 * shares of a short sequence may be empty.)
 */
export const packedBackward = family.define('packedBackward', {
  tensors: {
    ...gradientTensors,
    delta: 'work',
    gradQ: 'out?',
    /** as long as gradQ, where a sequence's keys have several parts; those of the others do not write to it */
    gradQParts: 'work?',
    gradK: 'out?',
    gradV: 'out?',
  },
  args: { ...args, shares: 'i32' },
  units: a => a.sequences * a.kvHeads * a.shares,
  chain: a => a.shares,
  cost: (a, context) => {
    const sizes = { ...even(a), parts: partsOf(a.keys), apart: false }
    const { flops = 0, nanoseconds } = attentionBackward.cost(sizes, context)
    return { flops, nanoseconds: nanoseconds + a.sequences * SEQUENCE[context.precision] }
  },
  areas,
  pieces: { op: attentionBackward, cut: backwardPieces },
})

/** Units of attentionJvp, of one sequence after the other. */
export const packedJvp = family.define('packedJvp', {
  tensors: {
    ...scoreTensors,
    tileStarts: 'in:int32',
    pairStarts: 'in?:float64',
    denominator: 'in:float64',
    sinks: 'in?',
    tangentQ: 'in?',
    tangentK: 'in?',
    tangentV: 'in?',
    tangentSinks: 'in?',
    tangentOutput: 'out?',
    tangentWeights: 'out?',
    tangentLogsumexp: 'out?',
  },
  args,
  units: a => a.heads * a.tiles,
  group: a => Math.max(1, Math.round(a.tiles / Math.max(1, a.sequences))),
  cost: (a, context) => {
    const { flops = 0, nanoseconds } = attentionJvp.cost(even(a), context)
    return { flops, nanoseconds: nanoseconds + a.sequences * SEQUENCE[context.precision] }
  },
  areas: attentionJvp.areas,
  pieces: { op: attentionJvp, cut: forwardPieces },
})

/** Pairs of sequence after sequence as one map: y [heads, queries, keys], `outside` wherever none stand. Unit = row of y. */
export const spreadPairs = family.define('spreadPairs', {
  tensors: { x: 'in', cuQ: 'in:int32', cuK: 'in:int32', pairStarts: 'in:float64', y: 'out' },
  args: { heads: 'i32', sequences: 'i32', queries: 'i32', keys: 'i32', masked: 'flag' },
  units: a => a.heads * a.queries,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * (100 + a.keys * SPREAD[p]) }),
  shared: true,
})

/** The way back: y has the pairs of sequence after sequence, from x [heads, queries, keys]. Unit = row of x. */
export const gatherPairs = family.define('gatherPairs', {
  tensors: { x: 'in', cuQ: 'in:int32', cuK: 'in:int32', pairStarts: 'in:float64', y: 'out' },
  args: { heads: 'i32', sequences: 'i32', queries: 'i32', keys: 'i32', pairs: 'f64' },
  units: a => a.heads * a.queries,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * 100 + a.heads * a.pairs * SPREAD[p] }),
  shared: true,
})

/**
 * attentionDistanceGradient over all sequences, one after the other. Unit = head; gradDistances [heads, distances].
 */
export const packedDistanceGradient = family.define('packedDistanceGradient', {
  tensors: { ...gradientTensors, gradDistances: 'out:float64' },
  args,
  units: a => a.heads,
  cost: (a, context) => {
    const { flops = 0, nanoseconds } = attentionDistanceGradient.cost({ ...even(a), parts: 1 }, context)
    return { flops, nanoseconds: nanoseconds + a.heads * a.sequences * SEQUENCE[context.precision] }
  },
  areas,
  pieces: { op: attentionDistanceGradient, cut: distancePieces },
})

export type GatherTensors = Tensors<typeof gatherPairs>
export type GatherArgs = Args<typeof gatherPairs>
export type PackedForwardArgs = Args<typeof packedForward>
export type SpreadTensors = Tensors<typeof spreadPairs>
export type SpreadArgs = Args<typeof spreadPairs>
