/** What an answer may say of attention beside its output: maps, rows, and keys and values for the next request. */
import type { Ref } from '../../../workers/task.ts'
import { inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { CoreState } from './core.ts'
import { exactError } from './exact-error.ts'
import type { Asked, MapName } from './softmax.ts'

const MAPS: Record<string, MapName> = {
  scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
}

/** What the forward pass is to give: the maps that are asked for, and entropies also where they are part of the loss. */
export function askedOf(request: {
  return: readonly string[]
  backward?: { entropy_weight?: number | undefined } | undefined
}): Asked {
  const names = new Set(request.return)
  return {
    entropy: names.has('entropy') || Boolean(request.backward?.entropy_weight),
    maps: [...names].flatMap(name => MAPS[name] ?? []),
  }
}

/** Answers what `names` asks for, each under `prefix` + name; present_k and present_v also where there is a past. */
export function attentionAnswers(
  p: RequestProgram,
  state: CoreState,
  names: readonly string[],
  hasPast: boolean,
  prefix = '',
): void {
  const { geometry: g } = state.setup
  if (state.setup.exact !== undefined) exactError(p, state, state.setup.exact, prefix)
  const asked = new Set(names)
  const { maps } = state.attention
  const pairs = inRank(g, g.queries, g.keys)
  const rows = inRank(g, g.queries)
  const kv = { ...g, heads: g.kvHeads }
  for (const name of asked) {
    if (name in MAPS) p.output(prefix + name, maps[MAPS[name]] as Ref, pairs)
    else if (name === 'logsumexp') p.output(prefix + name, state.attention.logsumexp, rows)
    else if (name === 'entropy') p.output(prefix + name, state.attention.entropy as Ref, rows)
  }
  if (hasPast || asked.has('present_k')) {
    p.output(`${prefix}present_k`, state.presentK, inRank(kv, g.keys, g.dimK))
  }
  if (hasPast || asked.has('present_v')) {
    p.output(`${prefix}present_v`, state.presentV, inRank(kv, g.keys, g.dimV))
  }
}
