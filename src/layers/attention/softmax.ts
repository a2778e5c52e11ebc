/** Scaled dot-product attention over buffers that are there: forward with its maps, and below it backward, as steps. */

import type { StepDraft } from '../../../workers/contract.ts'
import { scratchBytes } from '../../../workers/kernels/simd/scratch.ts'
import { add } from '../../../workers/ops/elementwise/op.ts'
import { type AttentionArgs, KEY_BLOCK, QUERY_TILE, type Ref } from '../../../workers/task.ts'
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
  careful?: Ref
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

/** Measured: an element of a map takes as long as this much text (see row-step.ts). */
const MAP_BYTES = 0.25

/**
 * O = softmax(s)·V; keeps what the backward pass needs: output, logsumexp, and the entropy where it is requested for. The N×M
 * maps cost what it takes to write them, and `scores` those of the pairs that no row attends to.
 */
export function softmaxForward(
  p: ProgramBuilder,
  scores: Scores,
  v: Ref,
  requested: RequestedResults,
): AttentionResults {
  const { args, area } = scores
  const { into } = requested
  const rows = args.batch * args.heads * args.queries
  const output = p.reals(rows * args.dimV)
  const logsumexp = into?.logsumexp ?? p.buffer({ type: 'float64', length: rows })
  const entropy = requested.entropy ? (into?.entropy ?? p.reals(rows)) : undefined
  const maps = mapBuffers(p, args, requested.maps)
  const unseen = maps.scores === undefined ? 0 : rows * args.keys - args.heads * area
  p.reserveScratch(scratchBytes(args.dimK, args.dimV))
  p.stage({
    op: 'attentionForward',
    tensors: { ...scoreTensors(scores), v, output, logsumexp, entropy, ...maps },
    args,
    phase: 'compute',
    units: args.batch * args.heads * tiles(args.queries),
    chain: 1,
    group: tiles(args.queries),
    flops: 2 * args.heads * area * (args.dimK + args.dimV) + 2 * unseen * args.dimK,
    bytes: MAP_BYTES * Object.keys(maps).length * rows * args.keys,
    nonFinite: scores.careful,
  })
  return { scores, v, output, logsumexp, entropy, written: maps }
}

/** The maps of scores that no forward pass goes through, from their logsumexp. */
export function softmaxMaps(
  p: ProgramBuilder,
  scores: Scores,
  logsumexp: Ref,
  names: readonly MapName[],
): { maps: Maps; step: StepDraft } {
  const { args } = scores
  const pairs = args.batch * args.heads * args.queries * args.keys
  const maps = mapBuffers(p, args, names)
  const step: StepDraft = {
    op: 'attentionMaps',
    tensors: { ...scoreTensors(scores), logsumexp, ...maps },
    args,
    phase: 'compute',
    units: args.batch * args.heads * tiles(args.queries),
    chain: 1,
    group: tiles(args.queries),
    flops: 2 * pairs * args.dimK,
    bytes: MAP_BYTES * names.length * pairs,
    nonFinite: scores.careful,
  }
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
  const { args, area, maskLayout, careful } = state.scores
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
  const steps: StepDraft[] = []
  const parts = backwardParts(args)
  const gradQParts = needs.q && parts > 1 ? p.reals((parts - 1) * rows * args.dimK) : undefined
  if (needs.q || needs.k || needs.v) {
    const group = args.heads / args.kvHeads
    const chain = Math.max(1, Math.ceil(Math.ceil(args.keys / KEY_BLOCK) / parts)) * group
    const products = (needs.v ? args.dimV : 0) + (needs.k ? args.dimK : 0) + (needs.q ? args.dimK : 0)
    steps.push({
      op: 'attentionBackward',
      tensors: {
        ...inputs,
        delta: p.reals(parts * rows),
        gradQ: gradients.q,
        gradQParts,
        gradK: gradients.k,
        gradV: gradients.v,
      },
      args: { ...args, parts },
      phase: 'compute',
      units: args.batch * args.kvHeads * parts * chain,
      chain,
      flops: 2 * args.heads * area * (args.dimK + args.dimV + products),
      bytes: 0,
      nonFinite: careful,
    })
  }
  if (gradients.mask !== undefined && maskLayout !== undefined) {
    steps.push({
      op: 'attentionMaskGradient',
      tensors: { ...inputs, gradMask: gradients.mask },
      args: { ...args, maskShape: maskLayout.shape },
      phase: 'compute',
      units: maskLayout.shape[0] * maskLayout.shape[1] * tiles(maskLayout.shape[2]),
      chain: 1,
      flops: 2 * args.heads * area * (args.dimK + args.dimV),
      bytes: 0,
      nonFinite: careful,
    })
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

function tiles(rows: number): number {
  return Math.ceil(rows / QUERY_TILE)
}
