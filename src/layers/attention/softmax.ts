/** Scaled dot-product attention over buffers that are there: forward with its maps, and below it backward, as steps. */

import type { Ref, Step } from '../../../workers/contract.ts'
import { KEY_BLOCK } from '../../../workers/layout.ts'
import {
  type AttentionArgs,
  attentionBackward,
  attentionDistanceGradient,
  attentionForward,
  attentionMaps,
  attentionMaskGradient,
  rowPartsOf,
} from '../../../workers/ops/attention/op.ts'
import { add } from '../../../workers/ops/elementwise/op.ts'
import type { MaskLayout } from '../geometry.ts'
import type { ProgramBuilder } from '../program-builder.ts'
import type { Packed } from './packed.ts'
import { backwardStep, distanceStep, forwardStep, hasParts } from './packed-softmax.ts'

/** Everything that shapes the scores, as buffers. */
export interface Scores {
  args: AttentionArgs
  q: Ref
  k: Ref
  mask?: Ref
  maskLayout?: MaskLayout
  slopes?: Ref
  /** [heads], see ops/sinks */
  sinks?: Ref
  /** [heads, distances], see AttentionArgs.distances */
  distanceBiases?: Ref
  /** see AttentionArgs.shift */
  shifts?: Ref
  intervals?: Ref
  qSegments?: Ref
  kvSegments?: Ref
  mixedSegments?: Ref
  earlierRanks?: Ref
  earlierIntervals?: Ref
  /** pairs that are attended, over the whole batch, for one head */
  area: number
  /** those that the time is reckoned with, where the elements decide how many there are */
  reckoned?: number
  nonFinite?: Ref
  /** what an earlier request has left of keys and values, where the variant takes a state */
  state?: Record<string, Ref> | undefined
  /** sequences that attend within themselves; `args` counts the queries and keys of all */
  packed?: Packed | undefined
}

/** What a forward pass gives, and what it was given. */
export interface AttentionResults {
  scores: Scores
  v: Ref
  output: Ref
  /** float64 [batch, heads, queries, 2]: (m, Σ exp(s − m)) */
  denominator: Ref
  logsumexp: Ref
  entropy?: Ref
  /** float64 [batch, heads, queries], −∞ where a row attends to nothing, where logsumexp is not that: beside sinks */
  attending?: Ref
  /** [parts, batch, heads, queries], the largest masked score of each row (in each part of its keys), where it was requested */
  maxima?: Ref
  /** [batch, heads, queries, keys], those that were requested */
  written: Maps
}

/** Results a row that a loss looks at, [batch, heads, queries] each: float64 logsumexp of the keys (sinks left out), entropy. */
export interface RowResults {
  logsumexp: Ref
  entropy?: Ref
}

export type MapName = 'scores' | 'maskedScores' | 'weights' | 'droppedWeights'
export type Maps = Partial<Record<MapName, Ref>>

/** What a forward pass is to give beside its output. */
export interface RequestedResults {
  entropy: boolean
  maps?: readonly MapName[]
  maxima?: boolean
  /** where logsumexp and entropy go, if the caller has a place for them */
  into?: RowResults
}

/**
 * O = softmax(s)·V; keeps what the backward pass needs: output, denominator, and the entropy where it is requested for.
 */
export function softmaxForward(
  p: ProgramBuilder,
  scores: Scores,
  v: Ref,
  requested: RequestedResults,
): AttentionResults {
  const { args, area, reckoned, nonFinite, packed } = scores
  const { into } = requested
  const rows = args.batch * args.heads * args.queries
  const output = p.reals(rows * args.dimV)
  const denominator = p.buffer({ type: 'float64', length: 2 * rows })
  const logsumexp = into?.logsumexp ?? p.buffer({ type: 'float64', length: rows })
  const entropy = requested.entropy ? (into?.entropy ?? p.reals(rows)) : undefined
  const maxima = requested.maxima ? p.reals(rows) : undefined
  const maps = mapBuffers(p, scores, requested.maps)
  const tensors = { ...scoreTensors(scores), v, output, denominator, logsumexp, entropy, maxima, ...maps }
  const options = { nonFinite, area, reckoned }
  if (packed !== undefined) p.stage(forwardStep(p, packed, tensors, args, options))
  else p.stage(p.step(attentionForward, tensors, args, options))
  return { scores, v, output, denominator, logsumexp, entropy, maxima, written: maps }
}

/** The maps of scores that no forward pass goes through, from their denominator. */
export function softmaxMaps(
  p: ProgramBuilder,
  scores: Scores,
  denominator: Ref,
  names: readonly MapName[],
): { maps: Maps; step: Step } {
  const { args } = scores
  const maps = mapBuffers(p, scores, names)
  const tensors = { ...scoreTensors(scores), denominator, ...maps }
  const step = p.step(attentionMaps, tensors, args, { nonFinite: scores.nonFinite })
  return { maps, step }
}

function mapBuffers(p: ProgramBuilder, { args, packed }: Scores, names: readonly MapName[] = []): Maps {
  const pairs = args.heads * (packed?.pairs ?? args.batch * args.queries * args.keys)
  return Object.fromEntries(names.map(name => [name, p.reals(pairs)]))
}

/** Which gradients `attentionBackward` is to compute. */
export interface AttentionNeeds {
  q: boolean
  k: boolean
  v: boolean
  mask: boolean
  /** is asked for the inputs that only some variants have, by their names in `grads` */
  own?: ((name: string) => boolean) | undefined
  /** of biases by distance */
  distances: boolean
}

/** Chains of key blocks that a backward pass should have at least, for the cores to share one request. */
const CHAINS = 4

/**
 * In how many parts a head's keys are gone through: their number alone decides, so that gradients are the same bits whatever
 * the batch (`partsOf` says the same of packed sequences). Where heads are few, the parts are chains of their own.
 */
function backwardParts({ batch, heads, kvHeads, queries, keys }: AttentionArgs) {
  const rows = batch * heads * queries
  const parts = rows === 0 ? 1 : Math.max(1, Math.min(CHAINS, Math.floor(keys / (2 * KEY_BLOCK))))
  const apart = batch * kvHeads < CHAINS
  return { parts, apart, sums: apart ? parts - 1 : Math.min(1, parts - 1) }
}

/** What the loss has of the weights and of logsumexp themselves, see `rowTerms` of ops/loss. */
export interface GradientTerms {
  /** [batch, heads, queries, keys] */
  weights?: Ref
  /** float64 [batch, heads, queries] */
  rows: Ref
}

export interface AttentionGradients {
  q?: Ref
  k?: Ref
  v?: Ref
  mask?: Ref
  /** of those inputs */
  own?: OwnGradients
  /** float64 [parts, heads, distances], to be added up */
  distances?: Ref
}

export type OwnGradients = Record<string, Ref | undefined>

/**
 * Differentiates softmaxForward: dV = Pᵀ·dO, dS = P ⊙ (dP − delta − c·(ln P + H)), dQ = dS·K·scale, dK = dSᵀ·Q·scale,
 * dMask = dS. P is recomputed from the denominators. `scalars` = (loss, entropy coefficient c). A head's keys are
 * gone through in parts; where heads are few, side by side, and their dQ are added up afterwards.
 */
export function softmaxBackward(
  p: ProgramBuilder,
  state: AttentionResults,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: AttentionNeeds,
  terms?: GradientTerms,
): AttentionGradients {
  const { args, area, reckoned, maskLayout, nonFinite, packed } = state.scores
  const rows = args.batch * args.heads * args.queries
  const kvRows = args.batch * args.kvHeads * args.keys
  const gradients: AttentionGradients = {
    q: needs.q ? p.reals(rows * args.dimK) : undefined,
    k: needs.k ? p.reals(kvRows * args.dimK) : undefined,
    v: needs.v ? p.reals(kvRows * args.dimV) : undefined,
    mask:
      needs.mask && maskLayout
        ? p.reals(maskLayout.shape.reduce((product, extent) => product * extent, 1))
        : undefined,
  }
  const { v, output, denominator, entropy } = state
  const ofTerms = { weightTerms: terms?.weights, rowTerms: terms?.rows }
  const results = { v, output, denominator, entropy, gradOutput, scalars }
  const inputs = { ...scoreTensors(state.scores), ...results, ...ofTerms }
  const steps: Step[] = []
  const { parts, apart, sums } =
    packed === undefined ? backwardParts(args) : { parts: 1, apart: false, sums: Number(hasParts(packed)) }
  const gradQParts = needs.q && sums > 0 ? p.reals(sums * rows * args.dimK) : undefined
  if (needs.q || needs.k || needs.v) {
    const tensors = {
      ...inputs,
      delta: p.reals((apart ? parts : 1) * rows),
      gradQ: gradients.q,
      gradQParts,
      gradK: gradients.k,
      gradV: gradients.v,
    }
    const options = { nonFinite, area, reckoned }
    if (packed !== undefined) steps.push(backwardStep(p, packed, tensors, args, options))
    else steps.push(p.step(attentionBackward, tensors, { ...args, parts, apart }, options))
  }
  if (gradients.mask !== undefined && maskLayout !== undefined) {
    const tensors = { ...inputs, gradMask: gradients.mask }
    const maskArgs = { ...args, maskShape: maskLayout.shape }
    steps.push(p.step(attentionMaskGradient, tensors, maskArgs, { nonFinite, area, reckoned }))
  }
  if (needs.distances) {
    const { heads, distances } = args
    const rowParts = packed === undefined ? rowPartsOf(args) : 1
    gradients.distances = p.buffer({ type: 'float64', length: rowParts * heads * distances })
    const tensors = { ...inputs, gradDistances: gradients.distances }
    const options = { nonFinite, area, reckoned }
    const ofParts = { ...args, parts: rowParts }
    if (packed !== undefined) steps.push(distanceStep(p, packed, tensors, args, options))
    else steps.push(p.step(attentionDistanceGradient, tensors, ofParts, options))
  }
  p.stage(...steps)
  for (let part = 0; apart && gradQParts !== undefined && part < sums; part++) {
    gradients.q = addPart(p, gradients.q as Ref, gradQParts, part)
  }
  return gradients
}

/** sum + the part'th of the pieces that `parts` is made of. */
function addPart(p: ProgramBuilder, sum: Ref, parts: Ref, part: number): Ref {
  const count = p.buffers[sum].length
  const y = p.reals(count)
  p.stage(p.step(add, { a: sum, b: p.part(parts, part * count, count), y }, { count, period: count }))
  return y
}

export function scoreTensors(scores: Scores) {
  const { q, k, mask, slopes, distanceBiases, shifts, intervals, earlierRanks, earlierIntervals } = scores
  const { qSegments, kvSegments, mixedSegments } = scores
  const masks = { mask, intervals, qSegments, kvSegments, mixedSegments }
  return { q, k, ...masks, slopes, distanceBiases, shifts, earlierRanks, earlierIntervals }
}
