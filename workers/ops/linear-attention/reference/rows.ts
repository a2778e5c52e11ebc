/** Which keys a row attends to, and which sums and keys one by one it meets. */
import type { Reals } from '../../define-op.ts'
import { LINEAR_CHUNK, type LinearAttentionArgs, linearChunks, stateLength, stateSums } from '../op.ts'
import { featuresOf } from './features.ts'

interface Masked {
  /** as in op.ts */
  intervals?: Int32Array
}

/** What the intervals of batch b say of rows and keys. */
export function rulesOf({ intervals }: Masked, a: LinearAttentionArgs, b: number) {
  const first = b * a.intervalStrides[0]
  const from = (i: number) => intervals?.[2 * (first + i)] ?? 0
  const to = (i: number) => intervals?.[2 * (first + i) + 1] ?? a.keys
  /** how many keys, from the first on, row i attends to */
  const attended = (i: number) => (from(i) < to(i) ? to(i) : 0)
  /** the first row that attends to key j */
  const firstRow = (j: number) => {
    let row = 0
    while (row < a.queries && to(row) <= j) row++
    return row
  }
  /** rows that are no padding */
  let live = 0
  while (live < a.queries && from(live) < a.keys) live++
  /** keys that any row attends to */
  const seen = live > 0 ? attended(live - 1) : 0
  return { live, attended, firstRow, seen }
}

/** The rows of units [from, to): LINEAR_CHUNK positions of one head each. */
export function forEachRow(
  positions: number,
  from: number,
  to: number,
  visit: (head: number, position: number) => void,
): void {
  const chunks = linearChunks(positions)
  for (let unit = from; unit < to; unit++) {
    const begin = (unit % chunks) * LINEAR_CHUNK
    for (let i = begin; i < Math.min(begin + LINEAR_CHUNK, positions); i++)
      visit(Math.floor(unit / chunks), i)
  }
}

export interface QueryTensors extends Masked {
  q: Reals
  k: Reals
  sums: Reals
}

export type Query = ReturnType<typeof queryOf>

/** A query row: φ(q), how many keys it attends to, those it meets one by one, and the sums of those before them. */
export function queryOf(t: QueryTensors, a: LinearAttentionArgs, head: number, i: number) {
  const b = Math.floor(head / a.heads)
  const count = rulesOf(t, a, b).attended(i)
  const chunk = a.causal ? Math.floor(count / LINEAR_CHUNK) : 0
  const first = a.causal ? chunk * LINEAR_CHUNK : count
  const pairs = Array.from({ length: count - first }, (_, index) => first + index)
  const kvHead = b * a.kvHeads + Math.floor(((head % a.heads) * a.kvHeads) / a.heads)
  const row = head * a.queries + i
  const state = stateAt(t.sums, a, kvHead * stateSums(a, a.keys) + chunk)
  return { row, x: featuresOf(t.q, row, a.dimK), count, pairs, kvHead, state }
}

export interface State {
  S: Reals
  z: Reals
  scales: Reals
}

export function stateAt(sums: Reals, a: LinearAttentionArgs, slot: number): State {
  const length = stateLength(a)
  const state = sums.subarray(slot * length, (slot + 1) * length)
  const z = a.dimK * a.dimV
  return {
    S: state.subarray(0, z),
    z: state.subarray(z, z + a.dimK),
    scales: state.subarray(z + a.dimK),
  }
}
