import { scaling } from '../alteration.ts'
import type { Hypothesise } from './hypothesis.ts'

const SCALED = ['output', 'dropped_weights', 'grads.q', 'grads.k', 'grads.v']

/** Kept weights without the factor 1/(1 − p), forward and backward. */
export const dropout: Hypothesise = ({ dropout }) => {
  if (dropout === undefined || dropout.p === 0) return []
  const factor = 1 - dropout.p
  return [
    {
      says: 'The weights that dropout keeps are not multiplied with 1/(1 − p).',
      change: null,
      alteration: scaling(Object.fromEntries(SCALED.map(name => [name, factor]))),
    },
  ]
}
