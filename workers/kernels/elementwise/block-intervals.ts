/** Block-sparse attention: a query sees its own block of positions. */
import type { BlockArgs } from '../../pass-args.ts'

/**
 *   interval of row i = [f·size, (⌊aligned i/size⌋ + 1)·size),  f = ⌊aligned i/size⌋, or one less with `previous`
 *
 * within the keys [0, keys); lengths, causal and window cut it further in the attention kernels. Padding rows, whose
 * aligned position is just one more, see what they would see. intervals [batch, heads, queries, 2]; neither end ever
 * decreases. A unit is one (batch, head); writes its intervals.
 */
export function blockIntervals(
  t: { qLengths?: Int32Array; kvLengths?: Int32Array; intervals: Int32Array },
  a: BlockArgs,
  from: number,
  to: number,
): void {
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / a.heads)
    const [n, m] = [t.qLengths?.[b] ?? a.queries, t.kvLengths?.[b] ?? a.keys]
    const shift = a.alignment === 'bottom_right' ? m - n : a.pastKeys
    for (let i = 0; i < a.queries; i++) {
      const block = Math.floor((i + shift) / a.size)
      const into = 2 * (unit * a.queries + i)
      t.intervals[into] = within((block - (a.previous ? 1 : 0)) * a.size, a.keys)
      t.intervals[into + 1] = within((block + 1) * a.size, a.keys)
    }
  }
}

function within(position: number, keys: number): number {
  return Math.max(0, Math.min(keys, position))
}
