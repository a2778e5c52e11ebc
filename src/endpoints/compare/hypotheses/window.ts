import type { Hypothesise } from './hypothesis.ts'

/** The window one key wider or narrower at one end or both, or aligned with the other corner. */
export const window: Hypothesise = ({ window, causal }) => {
  if (window === undefined) return []
  const sides = (['left', 'right'] as const).filter(side => typeof window[side] === 'number')
  const off = (names: readonly ('left' | 'right')[], by: number) => {
    const change = Object.fromEntries(names.map(side => [side, (window[side] as number) + by]))
    if (Object.values(change).some(extent => extent < 0)) return []
    const where = names.length === 2 ? 'at both ends' : `at its ${names[0]} end`
    const says = `The window is one key too ${by > 0 ? 'wide' : 'narrow'} ${where}.`
    return [{ says, change: { window: change } }]
  }
  const choices = sides.length === 2 ? ([['left'], ['right'], sides] as const) : ([sides] as const)
  const wrong = choices.flatMap(names => [
    ...off(names as ('left' | 'right')[], -1),
    ...off(names as ('left' | 'right')[], 1),
  ])
  const own = window.align ?? (causal === 'bottom_right' ? causal : 'top_left')
  const align = own === 'top_left' ? 'bottom_right' : 'top_left'
  const corner = align.replace('_', ' ')
  return [
    ...wrong,
    { says: `The window is counted from the ${corner} corner.`, change: { window: { align } } },
  ]
}
