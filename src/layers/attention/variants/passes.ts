/**
 * Attention in passes (workers/ops/passes/op.ts says what a pass is): keys and queries sorted, attention over intervals of
 * sorted keys, and the passes' results merged into the softmax over all their pairs. Below it backward, as steps.
 *
 * The selection of pairs is constant: no gradient goes through sorting or hashing.
 */

import type { Ref } from '../../../../workers/contract.ts'
import type { AttentionArgs } from '../../../../workers/ops/attention/op.ts'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
import {
  earlierPasses,
  gatherRows,
  mergeParts,
  type Pass,
  type PassesArgs,
  passesMask,
  sortPasses,
  sumParts,
} from '../../../../workers/ops/passes/op.ts'
import type { RequestProgram } from '../../program-builder.ts'
import { areaOf } from '../intervals.ts'
import { beforeSinks, withSinks } from '../sinks.ts'
import {
  type AttentionGradients,
  type AttentionNeeds,
  type AttentionResults,
  type GradientTerms,
  type MapName,
  type RequestedResults,
  type Scores,
  softmaxBackward,
  softmaxForward,
  softmaxMaps,
} from '../softmax.ts'
import type { Attended, VariantContext } from './variant.ts'

/** The order of keys and queries in every pass, and what each query attends to. */
export interface PassPlan {
  args: PassesArgs
  keyOrder: Ref
  keyRanks: Ref
  queryOrder: Ref
  queryRanks: Ref
  intervals: Ref
  earlierRanks?: Ref
  earlierIntervals?: Ref
  /** pairs of all passes over the whole batch for one head, roughly, and those that the time is reckoned with */
  area: number
  reckoned: number
}

/** What the backward pass reads again. */
interface PassesState {
  scores: Scores
  plan: PassPlan
  /** attention over the sorted keys, passes and batch in one axis */
  folded: AttentionResults
  output: Ref
  denominator: Ref
  entropy?: Ref
}

/** Sorts for every pass. `buckets` [passes, batch, heads, positions]: of passes by hash. */
export function planPasses(
  p: RequestProgram,
  context: VariantContext,
  passes: Pass[],
  buckets: { q?: Ref; k?: Ref } = {},
): PassPlan {
  const { places, intervals } = context
  const { batch, heads, kvHeads, queries, keys, shift } = context.args
  const args: PassesArgs = {
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    shift,
    intervalStrides: intervals.strides,
    passes,
  }
  const count = passes.length
  const integers = (length: number) => p.buffer({ type: 'int32', length })
  const allKeys = count * batch * kvHeads * keys
  const allQueries = count * batch * heads * queries
  const order = {
    keyOrder: integers(allKeys),
    keyRanks: integers(allKeys),
    queryOrder: integers(allQueries),
    queryRanks: integers(allQueries),
    intervals: integers(2 * allQueries),
  }
  const { shifts, qLengths, kvLengths } = places.refs
  const tensors = {
    ...order,
    shifts,
    qLengths,
    kvLengths,
    positions: intervals.ref,
    qBuckets: buckets.q,
    kBuckets: buckets.k,
  }
  p.stage(p.step(sortPasses, tensors, args))
  const plan = { ...order, args, area: 0, reckoned: 0 }
  for (const pass of passes) {
    const { area, reckoned } = passPairs(context, pass)
    plan.area += area
    plan.reckoned += reckoned
  }
  if (count === 1) return plan
  const earlierRanks = integers((count - 1) * allKeys)
  const earlierIntervals = integers(2 * (count - 1) * allQueries)
  const both = { ...order, earlierRanks, earlierIntervals }
  p.stage(p.step(earlierPasses, both, args))
  return { ...plan, earlierRanks, earlierIntervals }
}

/**
 * Pairs of a pass: those in reach, or a bucket's share of the keys, but no more than its chunks hold. Rows may all hash alike,
 * and then one bucket has all keys: time is reckoned with half of what that would be, and is off by no more than two there.
 */
function passPairs({ places, masks, args, causal }: VariantContext, { by, buckets, chunk, reach }: Pass) {
  const near: RowMask[] = reach < 0 ? [] : [{ lo: ['-', 'aligned', reach], hi: ['+', 'aligned', reach + 1] }]
  const pairs = areaOf(places, [...masks, ...near], args.batch)
  const inChunks = args.batch * args.queries * chunk * (causal ? 2 : 3)
  const most = chunk === 0 ? pairs : Math.min(pairs, inChunks)
  const area = Math.min(pairs / buckets, most)
  return { area, reckoned: by === 'hash' ? Math.max(area, most / 2) : area }
}

/** The exact softmax over the pairs of all passes. */
export function passesForward(
  p: RequestProgram,
  scores: Scores,
  v: Ref,
  plan: PassPlan,
  { entropy: wantEntropy, maxima, maps: names = [], into: asked }: RequestedResults,
): Attended {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = scores.args
  const passes = plan.args.passes.length
  const into = beforeSinks(scores, asked)
  const q = sortRows(p, scores.q, plan.queryOrder, plan, { heads: batch * heads, rows: queries, dim: dimK })
  const k = sortRows(p, scores.k, plan.keyOrder, plan, { heads: batch * kvHeads, rows: keys, dim: dimK })
  const sortedV = sortRows(p, v, plan.keyOrder, plan, { heads: batch * kvHeads, rows: keys, dim: dimV })
  p.stage(q.step, k.step, sortedV.step)
  // all that positions say is in the plan's intervals
  const args: AttentionArgs = {
    ...scores.args,
    batch: passes * batch,
    intervalStrides: [heads * queries, queries],
    shift: 0,
    earlier: passes - 1,
  }
  const { intervals, earlierRanks, earlierIntervals, area, reckoned } = plan
  const { nonFinite } = scores
  const folded = softmaxForward(
    p,
    { args, q: q.y, k: k.y, intervals, earlierRanks, earlierIntervals, area, reckoned, nonFinite },
    sortedV.y,
    { entropy: wantEntropy, maxima },
  )

  const rows = batch * heads * queries
  const output = p.reals(rows * dimV)
  const denominator = p.buffer({ type: 'float64', length: 2 * rows })
  const logsumexp = into?.logsumexp ?? p.buffer({ type: 'float64', length: rows })
  const entropy = wantEntropy ? (into?.entropy ?? p.reals(rows)) : undefined
  const merged = {
    outputs: folded.output,
    denominators: folded.denominator,
    entropies: folded.entropy,
    ranks: plan.queryRanks,
    output,
    denominator,
    logsumexp,
    entropy,
  }
  const gather = { parts: passes, heads: batch * heads, rows: queries, dim: dimV }
  p.stage(p.step(mergeParts, merged, gather))
  const all: AttentionResults = { scores, v, output, denominator, logsumexp, entropy, written: {} }
  const results = withSinks(p, all, asked)
  const state = { ...results, plan, folded }
  const mapsOf = (p: RequestProgram, others: Scores, names: readonly MapName[]) =>
    passesMaps(p, others, results.denominator, plan, names)
  const found = names.length === 0 ? undefined : mapsOf(p, scores, names)
  if (found !== undefined) p.stage(found.step)
  return {
    ...results,
    maxima: folded.maxima,
    maps: mapsOf,
    written: found?.maps ?? {},
    backward: (p, gradOutput, scalars, needs, terms) =>
      passesBackward(p, state, gradOutput, scalars, needs, terms),
  }
}

/**
 * Differentiates passesForward: each pass's share of the gradients comes from the merged output and denominator, in the
 * pass's order; the shares add up.
 */
function passesBackward(
  p: RequestProgram,
  { scores, plan, folded, ...merged }: PassesState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: AttentionNeeds,
  terms: GradientTerms | undefined,
): AttentionGradients {
  if (!needs.q && !needs.k && !needs.v) return {}
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = scores.args
  const q = { heads: batch * heads, rows: queries }
  const k = { heads: batch * kvHeads, rows: keys }
  const sorted = (x: Ref, dim: number) => sortRows(p, x, plan.queryOrder, plan, { ...q, dim })
  const output = sorted(merged.output, dimV)
  const denominator = sorted(merged.denominator, 2)
  const entropy = merged.entropy === undefined ? undefined : sorted(merged.entropy, 1)
  const grad = sorted(gradOutput, dimV)
  const rows = terms && sorted(terms.rows, 1)
  const some = [entropy, rows].flatMap(given => (given === undefined ? [] : [given.step]))
  p.stage(output.step, denominator.step, grad.step, ...some)
  const inOrder = { ...folded, output: output.y, denominator: denominator.y, entropy: entropy?.y }
  const parts = softmaxBackward(
    p,
    inOrder,
    grad.y,
    scalars,
    { ...needs, mask: false, distances: false },
    rows && { rows: rows.y },
  )
  const forQ = addUp(p, parts.q, plan.queryRanks, plan, { ...q, dim: dimK })
  const forK = addUp(p, parts.k, plan.keyRanks, plan, { ...k, dim: dimK })
  const forV = addUp(p, parts.v, plan.keyRanks, plan, { ...k, dim: dimV })
  p.stage(...forQ.steps, ...forK.steps, ...forV.steps)
  return { q: forQ.y, k: forK.y, v: forV.y }
}

/** Maps over all pairs, with the passes' pairs as a mask. */
function passesMaps(
  p: RequestProgram,
  scores: Scores,
  denominator: Ref,
  { args, keyOrder, queryRanks, intervals }: PassPlan,
  names: readonly MapName[],
) {
  const { batch, heads, queries, keys } = scores.args
  const mask = p.buffer({ type: 'uint8', length: batch * heads * queries * keys })
  const tensors = { keyOrder, queryRanks, intervals, mask }
  p.stage(p.step(passesMask, tensors, args))
  const masked: AttentionArgs = {
    ...scores.args,
    maskKind: 'bool',
    maskStrides: [heads * queries * keys, queries * keys, keys, 1],
  }
  return softmaxMaps(p, { ...scores, mask, args: masked }, denominator, names)
}

interface Rows {
  heads: number
  rows: number
  dim: number
}

/** x [heads, rows, dim] in the order of every pass. */
function sortRows(p: RequestProgram, x: Ref, order: Ref, { args }: PassPlan, rows: Rows) {
  const parts = args.passes.length
  const count = parts * rows.heads * rows.rows
  const y = p.buffer({ type: p.buffers[x].type, length: count * rows.dim })
  return { y, step: p.step(gatherRows, { x, order, y }, { parts, ...rows }) }
}

/** The sum over passes, in the order of the rows themselves. */
function addUp(p: RequestProgram, parts: Ref | undefined, ranks: Ref, { args }: PassPlan, rows: Rows) {
  if (parts === undefined) return { y: undefined, steps: [] }
  const count = rows.heads * rows.rows
  const y = p.reals(count * rows.dim)
  const passes = args.passes.length
  const step = p.step(sumParts, { x: parts, ranks, y }, { parts: passes, ...rows })
  return { y, steps: [step] }
}
