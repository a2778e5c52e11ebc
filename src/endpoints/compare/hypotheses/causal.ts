import type { AttentionBody, Hypothesise, Patch } from './hypothesis.ts'

const CORNERS = { top_left: 'top left (j ≤ i)', bottom_right: 'bottom right (j ≤ i + M − N)' } as const

/** As many queries as keys: the corners are on one diagonal. */
function isSquare({ q, k, layout, cu_seqlens_q, q_lengths, kv_lengths, past_k }: AttentionBody): boolean {
  const otherwise = [cu_seqlens_q, q_lengths, kv_lengths, past_k].some(field => field !== undefined)
  const axis = layout === 'bnhd' ? -3 : -2
  return q !== undefined && k !== undefined && !otherwise && q.shape.at(axis) === k.shape.at(axis)
}

/** The causal mask: of the other corner, none, or one that nobody asked for. */
export const causal: Hypothesise = ({ causal, prefix_lengths, ...body }) => {
  const own = causal === true ? 'top_left' : causal || undefined
  const corners = (['top_left', 'bottom_right'] as const).filter(
    corner => corner !== own && (own === undefined || !isSquare(body)),
  )
  const aligned = corners.map(corner => ({
    says: own
      ? `The causal mask is aligned ${CORNERS[corner]} instead of ${CORNERS[own as keyof typeof CORNERS]}.`
      : `A causal mask, aligned ${CORNERS[corner]}, is applied that the body does not ask for.`,
    change: { causal: corner },
  }))
  if (own === undefined) return isSquare(body) ? aligned.slice(0, 1) : aligned
  const open: Patch =
    prefix_lengths === undefined ? { causal: false } : { causal: false, prefix_lengths: null }
  return [{ says: 'The causal mask is not applied.', change: open }, ...aligned]
}
