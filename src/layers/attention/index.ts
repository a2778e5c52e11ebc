/**
 * Attention as every layer uses it: the stages from new queries, keys and values to the output, with the maps that were
 * asked for; backwards through all of them, and in forward mode. A new stage is a file in `stages/` and a line in this list.
 */
import type { Ref } from '../../../workers/contract.ts'
import { softcapScores } from '../../../workers/ops/attention/op.ts'
import { headMaxima } from '../../../workers/ops/maps/op.ts'
import { inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { exactError } from './exact-error.ts'
import { wholeMap } from './packed-softmax.ts'
import type { GradientTerms, MapName, RequestedResults } from './softmax.ts'
import { packed } from './stages/packed.ts'
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
  StageSteps,
  TangentFlow,
} from './stages/stage.ts'
import { stateOutputs } from './state.ts'
import type { InputTangents, ResultName, ResultTangents } from './tangents.ts'
import type { Attended } from './variants/variant.ts'

export const STAGES: readonly Stage[] = [qkNorm, rope, past, packed, scores]

/** New queries, keys and values [batch, heads, positions, dim], gains of their norm, sinks, and keys and values of the past. */
export type AttentionInputs = Omit<AttentionFlow, 'plan' | 'requested' | 'seedOffset' | 'attended'>

export interface AttentionState {
  plan: AttentionPlan
  attended: Attended
  /** keys, normalised and rotated, and values: the past and the new ones, as the next request takes them for its past */
  presentK: Ref
  presentV: Ref
  /** one for each stage that has run */
  steps: StageSteps[]
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
  const steps = stages.map(stage => stage.forward(p, flow))
  return { plan, attended: flow.attended as Attended, presentK: flow.k, presentV: flow.v, steps }
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
  for (const { backward } of state.steps.toReversed()) backward(p, gradients)
  return gradients
}

/** Differentiates attentionForward in forward mode; tangents of q, k and v in the order that its inputs had. */
export function attentionTangents(
  p: RequestProgram,
  state: AttentionState,
  given: InputTangents,
  wanted: readonly ResultName[],
): ResultTangents {
  const tangents: TangentFlow = { ...given, wanted }
  for (const { tangent } of state.steps) tangent(p, tangents)
  return tangents.results as ResultTangents
}

// ---- what an answer may say of attention beside its output ---------------------------------------------------------

const MAPS: Record<string, MapName> = {
  scores: 'scores',
  softcapped_scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
}

/** What is asked for of cross-attention, under the names that it shares with attention. */
export function crossNames(names: readonly string[]): string[] {
  return names.flatMap(name => (name.startsWith('cross_') ? name.slice('cross_'.length) : []))
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

/**
 * Answers what `names` asks for, each under `prefix` + name; present_k and present_v also where there is a past. `output`: where maps and
 * rows go, if not into the answer as they are.
 */
export function attentionAnswers(
  p: RequestProgram,
  state: AttentionState,
  names: readonly string[],
  hasPast: boolean,
  prefix = '',
  output: RequestProgram['output'] = (...written) => p.output(...written),
): void {
  const { geometry: g, exact, headsFirst, packed, emptyRows } = state.plan
  if (exact !== undefined) exactError(p, state, exact, prefix)
  const requested = new Set(names)
  const { written } = state.attended
  const { logsumexp, entropy } = packed === undefined ? state.attended : packedRows(state, requested)
  const pairs = inRank(g, g.queries, g.keys)
  const rows = inRank(g, g.queries)
  const kv = { ...g, heads: g.kvHeads }
  for (const name of requested) {
    // a weight is the exponential of a score less its row's logsumexp
    const guide = name.endsWith('weights') && emptyRows !== 'nan' ? logsumexp : undefined
    if (name in MAPS) {
      const map = name === 'softcapped_scores' ? softcapped(p, state, requested) : written[MAPS[name]]
      const whole = packed === undefined ? map : wholeMap(p, packed, map as Ref, !name.endsWith('weights'))
      output(prefix + name, whole as Ref, pairs, guide)
    }
    if (name === 'max_score') output(prefix + name, maxScores(p, state), packed ? [g.heads] : inRank(g))
    else if (name === 'logsumexp') output(prefix + name, logsumexp, rows)
    else if (name === 'entropy') output(prefix + name, entropy as Ref, rows)
  }
  const present = (name: string, x: Ref, dim: number) => {
    if (!hasPast && !requested.has(name)) return
    const side = packed?.rows.k ?? { heads: g.kvHeads, positions: g.keys }
    if (headsFirst === undefined) p.output(prefix + name, x, inRank(kv, g.keys, dim))
    else p.output(prefix + name, headsFirst.write(x, side, dim), headsFirst.shape(side, dim))
  }
  if (requested.has('state')) {
    for (const { name, buffer, shape, dtype } of stateOutputs(p, state)) {
      p.output(prefix + name, buffer, shape, undefined, dtype)
    }
  }
  present('present_k', state.presentK, g.dimK)
  present('present_v', state.presentV, g.dimV)
}

/** What there is of each row, as the client sees it: of packed sequences [heads, all rows]. */
export function ofRows({ headsFirst, packed }: AttentionPlan, x: Ref): Ref {
  if (packed === undefined || headsFirst === undefined) return x
  return headsFirst.writeRows(x, packed.rows.q)
}

/** Those rows of packed sequences that are needed. */
function packedRows({ plan, attended }: AttentionState, requested: ReadonlySet<string>) {
  const written = (x: Ref | undefined, wanted: boolean) => (wanted && x !== undefined ? ofRows(plan, x) : x)
  const forLogsumexp = [...requested].some(name => name === 'logsumexp' || name.endsWith('weights'))
  return {
    logsumexp: written(attended.logsumexp, forLogsumexp) as Ref,
    entropy: written(attended.entropy, requested.has('entropy')),
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
  const x = ofRows(plan, attended.maxima as Ref)
  const y = p.reals(count)
  const parts = rows === 0 ? 1 : p.buffers[x].length / (count * rows)
  p.stage(p.step(headMaxima, { x, y }, { parts, count, rows }))
  return y
}
