/** `head_metrics` and `top_keys` of the chosen layers, read off their weights. */
import type { Ref } from '../../../workers/contract.ts'
import { takeHeads } from '../../../workers/ops/maps/op.ts'
import { FIGURE_COUNT, headFigures, topKeys } from '../../../workers/ops/readings/op.ts'
import type { AttentionState } from '../../layers/attention/index.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import type { Role } from '../../models/run.ts'
import { fieldProblem } from '../../problem.ts'
import type { PreparedTokens } from './context.ts'
import type { Outlet } from './outlets.ts'
import type { ModelRequest } from './request.ts'

/** In the order of the figures, behind the number of rows. */
const METRICS = [
  'entropy',
  'mean_distance',
  'previous_token',
  'first_token',
  'self',
  'special_token',
  'induction',
] as const

export interface Readings {
  layer(p: RequestProgram, role: Role, state: AttentionState, outlet: Outlet): void
}

export function readingsOf(
  { heads, top_keys, return: returned }: ModelRequest,
  names: readonly string[],
  { tokens }: PreparedTokens,
  model: LoadedModel,
): Readings {
  const metrics = names.includes('head_metrics')
  const top = names.includes('top_keys') ? (top_keys?.k ?? 8) : 0
  const behind = model.plan.spec.encoder !== undefined
  const place = returned.indexOf('head_metrics')
  const special = Int32Array.from(tokens.special ?? specialOf(tokens.ids, model))
  return {
    layer(p, role, state, outlet) {
      const weights = state.attended.written.weights as Ref
      const { batch, heads: all, queries, keys } = state.plan.geometry
      const chosen = heads ?? Array.from({ length: all }, (_, head) => head)
      if (metrics) {
        if (behind && role === 'decoder') {
          // its one token says nothing of these
        } else if (queries !== keys) {
          throw fieldProblem('INVALID_REQUEST', `/return/${place}`, 'expected as many rows as keys')
        } else {
          const whole = (data: Int32Array) => p.buffer({ type: 'int32', length: data.length, data })
          const figures = p.buffer({ type: 'float64', length: all * FIGURE_COUNT })
          const given = { ids: whole(tokens.ids), real: whole(tokens.real), special: whole(special) }
          p.stage(p.step(headFigures, { weights, ...given, figures }, { batch, heads: all, positions: keys }))
          p.keep(figures)
          outlet.report('head_metrics', read => figuresOf(read(figures), chosen))
        }
      }
      if (top === 0) return
      const count = Math.min(top, keys)
      let from = weights
      if (heads !== undefined) {
        from = p.reals(batch * heads.length * queries * keys)
        p.stage(
          p.step(takeHeads, { x: weights, y: from }, { batch, heads: all, chosen, width: queries * keys }),
        )
      }
      const rows = batch * chosen.length * queries
      const indices = p.buffer({ type: 'float64', length: rows * count })
      const strongest = p.reals(rows * count)
      p.stage(p.step(topKeys, { weights: from, indices, strongest }, { rows, keys, top: count }))
      const shape = [batch, chosen.length, queries, count]
      outlet.tensor('top_keys.indices', indices, shape, 'float64')
      outlet.tensor('top_keys.weights', strongest, shape)
    },
  }
}

function figuresOf(figures: Float64Array, chosen: number[]) {
  return chosen.map(head => {
    const means = METRICS.map((name, at) => [name, figures[head * FIGURE_COUNT + 1 + at]])
    return { index: head, rows: figures[head * FIGURE_COUNT], ...Object.fromEntries(means) }
  })
}

const SPECIAL = ['bos_token_id', 'eos_token_id', 'pad_token_id', 'cls_token_id', 'sep_token_id']

/** Of ids that no tokenizer has marked: those that the configuration names. */
function specialOf(ids: Int32Array, { plan }: LoadedModel): Int32Array {
  const known = new Set(SPECIAL.flatMap(name => plan.checkpoint.config.ids(name)))
  return ids.map(id => Number(known.has(id)))
}
