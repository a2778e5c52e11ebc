/**
 * Attention as every layer uses it: the stages from new queries, keys and values to the output, with the maps that were
 * asked for; and backwards through all of them. A new stage is a file in `stages/` and a line in this list.
 */
import type { Ref } from '../../../workers/contract.ts'
import { headMaxima, softcapScores } from '../../../workers/ops/attention/op.ts'
import { inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { exactError } from './exact-error.ts'
import type { GradientTerms, MapName, RequestedResults } from './softmax.ts'
import { past } from './stages/past.ts'
import { qkNorm } from './stages/qk-norm.ts'
import { rope } from './stages/rope.ts'
import { scores } from './stages/scores.ts'
import type {
  AttentionFlow,
  AttentionPlan,
  GradientFlow,
  GradientNeeds,
  Stage,
  StageBackward,
} from './stages/stage.ts'
import type { Attended } from './variants/variant.ts'

export const STAGES: readonly Stage[] = [qkNorm, rope, past, scores]

/** New queries, keys and values [batch, heads, positions, dim], and keys and values of the past. */
export type AttentionInputs = Pick<AttentionFlow, 'q' | 'k' | 'v' | 'pastK' | 'pastV'>

export interface AttentionState {
  plan: AttentionPlan
  attended: Attended
  /** keys, normalised and rotated, and values: the past and the new ones, as the next request takes them for its past */
  presentK: Ref
  presentV: Ref
  /** one for each stage that has run */
  backward: StageBackward[]
}

/** `seedOffset` is added to the dropout's seed. */
export function attentionForward(
  p: RequestProgram,
  plan: AttentionPlan,
  inputs: AttentionInputs,
  requested: RequestedResults,
  seedOffset = 0,
): AttentionState {
  const flow: AttentionFlow = { plan, ...inputs, requested, seedOffset }
  const stages = STAGES.filter(({ needs }) => needs === undefined || plan[needs])
  const backward = stages.map(stage => stage.forward(p, flow))
  return { plan, attended: flow.attended as Attended, presentK: flow.k, presentV: flow.v, backward }
}

/** Differentiates attentionForward. */
export function attentionBackward(
  p: RequestProgram,
  state: AttentionState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: GradientNeeds,
  terms?: GradientTerms,
): GradientFlow {
  const gradients: GradientFlow = { needs, output: gradOutput, scalars, terms }
  for (const backward of state.backward.toReversed()) backward(p, gradients)
  return gradients
}

// ---- what an answer may say of attention beside its output ---------------------------------------------------------

const MAPS: Record<string, MapName> = {
  scores: 'scores',
  softcapped_scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
}

/** What the forward pass is to give: the maps that are asked for, and entropies and weights also where they are part of the loss. */
export function requestedResults(request: {
  return: readonly string[]
  backward?: { entropy_weight?: number | undefined; grad_weights?: unknown } | undefined
}): RequestedResults {
  const names = new Set(request.return)
  const maps = [...names].flatMap(name => MAPS[name] ?? [])
  if (request.backward?.grad_weights !== undefined) maps.push('weights')
  return {
    entropy: names.has('entropy') || Boolean(request.backward?.entropy_weight),
    maxima: names.has('max_score'),
    maps: [...new Set(maps)],
  }
}

/** Answers what `names` asks for, each under `prefix` + name; present_k and present_v also where there is a past. */
export function attentionAnswers(
  p: RequestProgram,
  state: AttentionState,
  names: readonly string[],
  hasPast: boolean,
  prefix = '',
): void {
  const { geometry: g, exact } = state.plan
  if (exact !== undefined) exactError(p, state, exact, prefix)
  const requested = new Set(names)
  const { written, logsumexp, entropy } = state.attended
  const pairs = inRank(g, g.queries, g.keys)
  const rows = inRank(g, g.queries)
  const kv = { ...g, heads: g.kvHeads }
  for (const name of requested) {
    // a weight is the exponential of a score less its row's logsumexp
    const guide = name.endsWith('weights') ? logsumexp : undefined
    if (name === 'softcapped_scores') p.output(prefix + name, softcapped(p, state, requested), pairs)
    else if (name === 'max_score') p.output(prefix + name, maxScores(p, state), inRank(g))
    else if (name in MAPS) p.output(prefix + name, written[MAPS[name]] as Ref, pairs, guide)
    else if (name === 'logsumexp') p.output(prefix + name, logsumexp, rows)
    else if (name === 'entropy') p.output(prefix + name, entropy as Ref, rows)
  }
  if (hasPast || requested.has('present_k')) {
    p.output(`${prefix}present_k`, state.presentK, inRank(kv, g.keys, g.dimK))
  }
  if (hasPast || requested.has('present_v')) {
    p.output(`${prefix}present_v`, state.presentV, inRank(kv, g.keys, g.dimV))
  }
}

/** The scores' map behind the softcap: itself where there is none, and in its place where nobody asks for it. */
function softcapped(p: RequestProgram, { plan, attended }: AttentionState, requested: Set<string>): Ref {
  const x = attended.written.scores as Ref
  const { softcap: cap } = plan.args
  if (cap === 0) return x
  const count = p.buffers[x].length
  const y = requested.has('scores') ? p.reals(count) : x
  p.stage(p.step(softcapScores, { x, y }, { count, cap }))
  return y
}

/** [batch, heads]: the largest of the rows' maxima. */
function maxScores(p: RequestProgram, { plan, attended }: AttentionState): Ref {
  const { batch, heads, queries: rows } = plan.geometry
  const count = batch * heads
  const x = attended.maxima as Ref
  const y = p.reals(count)
  const parts = rows === 0 ? 1 : p.buffers[x].length / (count * rows)
  p.stage(p.step(headMaxima, { x, y }, { parts, count, rows }))
  return y
}
