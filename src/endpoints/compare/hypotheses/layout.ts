import type { Hypothesise } from './hypothesis.ts'

/** Heads and positions taken for each other. */
export const layout: Hypothesise = ({ q, layout = 'bhnd' }) => {
  if (q?.shape.length !== 4) return []
  const other = layout === 'bhnd' ? 'bnhd' : 'bhnd'
  const axes = { bhnd: '[B, H, N, d]', bnhd: '[B, N, H, d]' }
  const says = `q, k and v are read as ${axes[other]} instead of ${axes[layout as 'bhnd' | 'bnhd']}: heads and positions are taken for each other.`
  return [{ says, change: { layout: other } }]
}
