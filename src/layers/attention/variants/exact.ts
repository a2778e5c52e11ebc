/** The softmax over the keys that the masks leave, and the variants that are nothing but a mask more. */
import * as z from 'zod'
import { beforeSinks, withSinks } from '../sinks.ts'
import { type AttentionResults, softmaxBackward, softmaxForward, softmaxMaps } from '../softmax.ts'
import { softmaxTangent } from '../tangents.ts'
import { defineVariant, MOST_POSITIONS, type VariantForward } from './variant.ts'

/** Keys first: sinks join a row's denominator behind them. */
export function exactForward(...[p, scores, v, requested]: Parameters<VariantForward>): AttentionResults {
  if (scores.sinks === undefined) return softmaxForward(p, scores, v, requested)
  const into = beforeSinks(scores, requested.into)
  return withSinks(p, softmaxForward(p, scores, v, { ...requested, into }), requested.into)
}

const exactly: VariantForward = (p, scores, v, requested) => {
  const state = exactForward(p, scores, v, requested)
  return {
    ...state,
    backward: (p, gradOutput, scalars, needs, terms) =>
      softmaxBackward(p, state, gradOutput, scalars, needs, terms),
    tangent: (p, given, wanted) => softmaxTangent(p, state, given, wanted),
    maps: (p, others, names) => softmaxMaps(p, others, state.denominator, names),
  }
}

export const softmax = defineVariant({ jvp: true, plan: () => exactly })

/** |aligned i − j| ≤ window. */
export const local = defineVariant({
  schema: () =>
    z
      .strictObject({ kind: z.literal('local'), window: z.int().min(0).max(MOST_POSITIONS).default(64) })
      .meta({ id: 'LocalAttention' }),
  jvp: true,
  masks: ({ window }) => [{ lo: ['-', 'aligned', window], hi: ['+', 'aligned', window + 1] }],
  plan: () => exactly,
})

/** ⌊aligned i/size⌋ = ⌊j/size⌋; with `previous` the block before as well. */
export const block = defineVariant({
  schema: () =>
    z
      .strictObject({
        kind: z.literal('block'),
        size: z.int().min(1).max(MOST_POSITIONS).default(64),
        previous: z.boolean().default(false).describe('the block before it as well'),
      })
      .meta({ id: 'BlockAttention' }),
  jvp: true,
  masks({ size, previous }) {
    const begin = ['floorTo', 'aligned', size] as const
    return [{ lo: previous ? ['-', begin, size] : begin, hi: ['+', begin, size] }]
  },
  plan: () => exactly,
})
