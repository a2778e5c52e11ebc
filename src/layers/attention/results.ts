/** What an answer may say of attention beside its output: maps, rows, and keys and values for the next request. */
import type { Ref } from '../../../workers/contract.ts'
import { inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { exactError } from './exact-error.ts'
import type { AttentionState } from './index.ts'
import type { MapName, RequestedResults } from './softmax.ts'

const MAPS: Record<string, MapName> = {
  scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
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
  const { geometry: g, exact } = state.plan
  if (exact !== undefined) exactError(p, state, exact, prefix)
  const requested = new Set(names)
  const { written, logsumexp, entropy } = state.attended
  const pairs = inRank(g, g.queries, g.keys)
  const rows = inRank(g, g.queries)
  const kv = { ...g, heads: g.kvHeads }
  for (const name of requested) {
    if (name in MAPS) p.output(prefix + name, written[MAPS[name]] as Ref, pairs)
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
