import type { Hypothesise, Patch } from './hypothesis.ts'

const CORNERS = { top_left: 'top left (j ≤ i)', bottom_right: 'bottom right (j ≤ i + M − N)' } as const

/** The causal mask: of the other corner, none, or one that nobody asked for. */
export const causal: Hypothesise = ({ causal, prefix_lengths }) => {
  const own = causal === true ? 'top_left' : causal || undefined
  const corners = (['top_left', 'bottom_right'] as const).filter(corner => corner !== own)
  const aligned = corners.map(corner => ({
    says: own
      ? `The causal mask is aligned ${CORNERS[corner]} instead of ${CORNERS[own as keyof typeof CORNERS]}.`
      : `A causal mask, aligned ${CORNERS[corner]}, is applied that the body does not ask for.`,
    change: { causal: corner },
  }))
  if (own === undefined) return aligned
  const open: Patch =
    prefix_lengths === undefined ? { causal: false } : { causal: false, prefix_lengths: null }
  return [{ says: 'The causal mask is not applied.', change: open }, ...aligned]
}
