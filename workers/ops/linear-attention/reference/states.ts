/** The states of chunks. */
import type { Tensors } from '../../define-op.ts'
import { addRow } from '../../rows.ts'
import type * as op from '../op.ts'
import { LINEAR_CHUNK, type LinearStateArgs, linearChunks, stateLength } from '../op.ts'
import { logFeature, scaledFeature, scaleOf } from './features.ts'
import { rulesOf, type State, stateAt } from './rows.ts'

/** S and z of one chunk of keys, or of query rows with w in place of the 1s. */
export function linearStates(
  t: Tensors<typeof op.linearStates>,
  a: LinearStateArgs,
  from: number,
  to: number,
): void {
  const keys = a.side === 'keys'
  const positions = keys ? a.keys : a.queries
  const heads = keys ? a.kvHeads : a.heads
  const chunks = linearChunks(positions)
  const length = stateLength(a)
  for (let unit = from; unit < to; unit++) {
    const head = Math.floor(unit / chunks)
    const { live, firstRow, seen } = rulesOf(t, a, Math.floor(head / heads))
    const begin = (unit % chunks) * LINEAR_CHUNK
    const end = Math.min(begin + LINEAR_CHUNK, keys ? seen : live)
    const first = head * positions + Math.max(begin, keys ? 0 : firstRow(0))
    const last = head * positions + end
    const state = t.states.subarray(unit * length, (unit + 1) * length).fill(0)
    const { S, z, scales } = stateAt(state, a, 0)
    if (first >= last) {
      scales.fill(Number.NEGATIVE_INFINITY)
      continue
    }
    const logs = largestLogs(t, a.dimK, first, last)
    scales.set(logs.map(scaleOf))
    addRows(t, a, { S, z, scales }, first, last)
    if (S.every(Number.isFinite) && z.every(Number.isFinite)) continue
    // values so large that their sum overflows: features of less than 1/LINEAR_CHUNK
    scales.set(logs.map(log => (Number.isFinite(log) ? log + 5 : 0)))
    addRows(t, a, { S, z, scales }, first, last)
  }
}

/** The largest l(x) − A of each dimension. */
function largestLogs(
  t: Tensors<typeof op.linearStates>,
  dimK: number,
  first: number,
  last: number,
): number[] {
  return Array.from({ length: dimK }, (_, d) => {
    let largest = Number.NEGATIVE_INFINITY
    for (let row = first; row < last; row++) {
      largest = Math.max(largest, logFeature(t.x[row * dimK + d]) - (t.rowScale?.[row] ?? 0))
    }
    return largest
  })
}

function addRows(
  t: Tensors<typeof op.linearStates>,
  a: LinearStateArgs,
  { S, z, scales }: State,
  first: number,
  last: number,
): void {
  S.fill(0)
  z.fill(0)
  for (let row = first; row < last; row++) {
    for (let d = 0; d < a.dimK; d++) {
      const x = scaledFeature(t.x[row * a.dimK + d], -(scales[d] + (t.rowScale?.[row] ?? 0)))
      addRow(S, d, x, t.y, row, a.dimV)
      z[d] += x * (t.w === undefined ? 1 : t.w[row])
    }
  }
}
