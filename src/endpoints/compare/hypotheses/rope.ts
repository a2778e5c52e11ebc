import type { Hypothesise } from './hypothesis.ts'

const PAIRS = { true: 'neighbours (x_2j, x_2j+1)', false: 'halves (x_j, x_j+dims/2)' }

/** RoPE with the other pairs. */
export const rope: Hypothesise = ({ rope }) => {
  if (rope === undefined) return []
  const interleaved = !rope.interleaved
  const says = `RoPE rotates ${PAIRS[`${interleaved}`]} instead of ${PAIRS[`${rope.interleaved}`]}.`
  return [{ says, change: { rope: { interleaved } } }]
}
