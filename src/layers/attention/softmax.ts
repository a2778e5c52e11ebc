/** Scaled dot-product attention over buffers that are there: forward with its maps, and below it backward, as steps. */

import type { Ref, Step } from '../../../workers/contract.ts'
import { KEY_BLOCK } from '../../../workers/layout.ts'
import {
  type AttentionArgs,
  attentionBackward,
  attentionForward,
  attentionMaps,
  attentionMaskGradient,
} from '../../../workers/ops/attention/op.ts'
import { add } from '../../../workers/ops/elementwise/op.ts'
import type { MaskLayout } from '../geometry.ts'
import type { ProgramBuilder } from '../program-builder.ts'

/** Everything that shapes the scores, as buffers. */
export interface Scores {
  args: AttentionArgs
  q: Ref
  k: Ref
  mask?: Ref
  maskLayout?: MaskLayout
  slopes?: Ref
  /** see AttentionArgs.shift */
  shifts?: Ref
  intervals?: Ref
  earlierRanks?: Ref
  earlierIntervals?: Ref
  /** pairs that are attended, over the whole batch, for one head */
  area: number
  /** those that the time is reckoned with, where the elements decide how many there are */
  reckoned?: number
  nonFinite?: Ref
}

/** What a forward pass gives, and what it was given. */
export interface AttentionResults {
  scores: Scores
  v: Ref
  output: Ref
  logsumexp: Ref
  entropy?: Ref
  /** [batch, heads, queries, keys], those that were requested */
  written: Maps
}

/** Results a row: float64 logsumexp, entropy, [batch, heads, queries] each. */
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
  /** where logsumexp and entropy go, if the caller has a place for them */
  into?: RowResults
}

/**
 * O = softmax(s)·V; keeps what the backward pass needs: output, logsumexp, and the entropy where it is requested for.
 */
export function softmaxForward(
  p: ProgramBuilder,
  scores: Scores,
  v: Ref,
  requested: RequestedResults,
): AttentionResults {
  const { args, area, reckoned } = scores
  const { into } = requested
  const rows = args.batch * args.heads * args.queries
  const output = p.reals(rows * args.dimV)
  const logsumexp = into?.logsumexp ?? p.buffer({ type: 'float64', length: rows })
  const entropy = requested.entropy ? (into?.entropy ?? p.reals(rows)) : undefined
  const maps = mapBuffers(p, args, requested.maps)
  const tensors = { ...scoreTensors(scores), v, output, logsumexp, entropy, ...maps }
  p.stage(p.step(attentionForward, tensors, args, { nonFinite: scores.nonFinite, area, reckoned }))
  return { scores, v, output, logsumexp, entropy, written: maps }
}

/** The maps of scores that no forward pass goes through, from their logsumexp. */
export function softmaxMaps(
  p: ProgramBuilder,
  scores: Scores,
  logsumexp: Ref,
  names: readonly MapName[],
): { maps: Maps; step: Step } {
  const { args } = scores
  const maps = mapBuffers(p, args, names)
  const tensors = { ...scoreTensors(scores), logsumexp, ...maps }
  const step = p.step(attentionMaps, tensors, args, { nonFinite: scores.nonFinite })
  return { maps, step }
}

function mapBuffers(p: ProgramBuilder, args: AttentionArgs, names: readonly MapName[] = []): Maps {
  const pairs = args.batch * args.heads * args.queries * args.keys
  return Object.fromEntries(names.map(name => [name, p.reals(pairs)]))
}

/** Which gradients `attentionBackward` is to compute. */
export interface AttentionNeeds {
  q: boolean
  k: boolean
  v: boolean
  mask: boolean
}

/** Chains of key blocks that a backward pass should have at least, for the cores to share one request. */
const CHAINS = 4

/** In how many parts a head's keys are gone through: the sizes alone decide, so that the bits are the same anywhere. */
function backwardParts({ batch, kvHeads, keys }: AttentionArgs): number {
  if (batch * kvHeads === 0) return 1
  const needs = Math.ceil(CHAINS / (batch * kvHeads))
  return Math.max(1, Math.min(needs, Math.floor(keys / (2 * KEY_BLOCK))))
}

export interface AttentionGradients {
  q?: Ref
  k?: Ref
  v?: Ref
  mask?: Ref
}

/**
 * Differentiates softmaxForward: dV = Pᵀ·dO, dS = P ⊙ (dP − delta − c·(s − lse + H)), dQ = dS·K·scale, dK = dSᵀ·Q·scale,
 * dMask = dS. P is recomputed from logsumexp. `scalars` = (loss, entropy coefficient c). Where heads are few, their keys are
 * gone through in parts, whose dQ are added up afterwards.
 */
export function softmaxBackward(
  p: ProgramBuilder,
  state: AttentionResults,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: AttentionNeeds,
): AttentionGradients {
  const { args, area, reckoned, maskLayout, nonFinite } = state.scores
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
  const { v, output, logsumexp, entropy } = state
  const inputs = { ...scoreTensors(state.scores), v, output, logsumexp, entropy, gradOutput, scalars }
  const steps: Step[] = []
  const parts = backwardParts(args)
  const gradQParts = needs.q && parts > 1 ? p.reals((parts - 1) * rows * args.dimK) : undefined
  if (needs.q || needs.k || needs.v) {
    const tensors = {
      ...inputs,
      delta: p.reals(parts * rows),
      gradQ: gradients.q,
      gradQParts,
      gradK: gradients.k,
      gradV: gradients.v,
    }
    steps.push(p.step(attentionBackward, tensors, { ...args, parts }, { nonFinite, area, reckoned }))
  }
  if (gradients.mask !== undefined && maskLayout !== undefined) {
    const tensors = { ...inputs, gradMask: gradients.mask }
    const maskArgs = { ...args, maskShape: maskLayout.shape }
    steps.push(p.step(attentionMaskGradient, tensors, maskArgs, { nonFinite, area, reckoned }))
  }
  p.stage(...steps)
  for (let part = 0; gradQParts !== undefined && part < parts - 1; part++) {
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

function scoreTensors(scores: Scores) {
  const { q, k, mask, slopes, shifts, intervals, earlierRanks, earlierIntervals } = scores
  return { q, k, mask, slopes, shifts, intervals, earlierRanks, earlierIntervals }
}
