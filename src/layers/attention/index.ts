/**
 * Attention as every layer uses it: the stages from new queries, keys and values to the output, with the maps that were
 * asked for; and backwards through all of them. A new stage is a file in `stages/` and a line in this list.
 */
import type { Ref } from '../../../workers/contract.ts'
import { inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { exactError } from './exact-error.ts'
import type { Rows } from './heads-first.ts'
import { wholeMap } from './packed-softmax.ts'
import type { MapName, RequestedResults } from './softmax.ts'
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
  StageBackward,
} from './stages/stage.ts'
import { stateOutputs } from './state.ts'
import type { Attended } from './variants/variant.ts'

export const STAGES: readonly Stage[] = [qkNorm, rope, past, packed, scores]

/** New queries, keys and values [batch, heads, positions, dim], gains of their norm, and keys and values of the past. */
export type AttentionInputs = Pick<
  AttentionFlow,
  'q' | 'k' | 'v' | 'gainQ' | 'gainK' | 'pastK' | 'pastV' | 'state'
>

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
): GradientFlow {
  const gradients: GradientFlow = { needs, output: gradOutput, scalars }
  for (const backward of state.backward.toReversed()) backward(p, gradients)
  return gradients
}

// ---- what an answer may say of attention beside its output ---------------------------------------------------------

const MAPS: Record<string, MapName> = {
  scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
}

/** What is asked for of cross-attention, under the names that it shares with attention. */
export function crossNames(names: readonly string[]): string[] {
  return names.flatMap(name => (name.startsWith('cross_') ? name.slice('cross_'.length) : []))
}

/** What the forward pass is to give: the maps that are asked for, and entropies also where they are part of the loss. */
export function requestedResults(request: {
  return: readonly string[]
  backward?: { entropy_weight?: number | undefined } | undefined
}): RequestedResults {
  const names = new Set(request.return)
  return {
    entropy: names.has('entropy') || Boolean(request.backward?.entropy_weight),
    maps: [...names].flatMap(name => MAPS[name] ?? []),
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
  const { geometry: g, exact, headsFirst, packed } = state.plan
  if (exact !== undefined) exactError(p, state, exact, prefix)
  const requested = new Set(names)
  const { written } = state.attended
  const { logsumexp, entropy } = packed === undefined ? state.attended : packedRows(state, requested)
  const pairs = inRank(g, g.queries, g.keys)
  const rows = inRank(g, g.queries)
  const kv = { ...g, heads: g.kvHeads }
  for (const name of requested) {
    // a weight is the exponential of a score less its row's logsumexp
    const guide = name.endsWith('weights') ? logsumexp : undefined
    if (name in MAPS) {
      const map = written[MAPS[name]] as Ref
      const whole = packed === undefined ? map : wholeMap(p, packed, map, !name.endsWith('weights'))
      p.output(prefix + name, whole, pairs, guide)
    }
    if (name === 'logsumexp') p.output(prefix + name, logsumexp, rows)
    else if (name === 'entropy') p.output(prefix + name, entropy as Ref, rows)
  }
  const present = (name: string, x: Ref, dim: number) => {
    if (!hasPast && !requested.has(name)) return
    const side = packed?.rows.k ?? { heads: g.kvHeads, positions: g.keys }
    if (headsFirst === undefined) p.output(prefix + name, x, inRank(kv, g.keys, dim))
    else p.output(prefix + name, headsFirst.write(x, side, dim), headsFirst.shape(side, dim))
  }
  if (requested.has('state')) {
    for (const { name, buffer, shape } of stateOutputs(state.plan.kind, g, state.attended.state)) {
      p.output(prefix + name, buffer, shape)
    }
  }
  present('present_k', state.presentK, g.dimK)
  present('present_v', state.presentV, g.dimV)
}

/** The rows of packed sequences, as the client sees them. */
function packedRows({ plan, attended }: AttentionState, requested: ReadonlySet<string>) {
  const { headsFirst, packed } = plan
  const rows = packed?.rows.q as Rows
  const written = (x: Ref | undefined, wanted: boolean) =>
    wanted && x !== undefined && headsFirst !== undefined ? headsFirst.writeRows(x, rows) : x
  const forLogsumexp = [...requested].some(name => name === 'logsumexp' || name.endsWith('weights'))
  return {
    logsumexp: written(attended.logsumexp, forLogsumexp) as Ref,
    entropy: written(attended.entropy, requested.has('entropy')),
  }
}
