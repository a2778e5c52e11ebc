/**
 * Which keys a query row attends to: all masks combine, and a key is attended only if every one allows it.
 *
 * Masks by position are intervals of keys, evaluated before (ops/intervals): the row's [lo, hi) is their intersection, and
 * what lies outside is never touched. Masks that can only be asked pair by pair are `denseMasks`. (A float mask masks by
 * a bias of −∞: see score.ts.)
 */

import { QUERY_TILE } from '../../../layout.ts'
import type { AttentionArgs, ScoreTensors } from '../op.ts'

/** The masks; every attention kernel's tensors have them. */
type MaskTensors = Pick<
  ScoreTensors,
  'mask' | 'intervals' | 'qSegments' | 'kvSegments' | 'shifts' | 'earlierRanks' | 'earlierIntervals'
>

/** A query row with the half-open interval of keys outside of which it attends to nothing. */
export interface QueryRow {
  b: number
  h: number
  i: number
  /** index into [batch, heads, queries] */
  index: number
  /** where row i stands among the keys */
  aligned: number
  lo: number
  hi: number
  /** index of key 0 of the kv head it reads into [batch, kvHeads, keys] */
  firstKey: number
  /** which row of q, output and their gradients it is */
  at: number
  /** which row of k, v and their gradients key 0 is, and rows from a key to the next */
  keyAt: number
  keyStep: number
}

/** Which row of k, v and their gradients key j is. */
export function keyRow({ keyAt, keyStep }: QueryRow, j: number): number {
  return keyAt + j * keyStep
}

type DenseMask = (t: MaskTensors, a: AttentionArgs, row: QueryRow, j: number) => boolean

const boolMask: DenseMask = (t, a, row, j) => a.maskKind !== 'bool' || t.mask![maskIndex(a, row, j)] !== 0

/** Not where an earlier pass has the pair: that pass's interval of the row holds the key's rank in it. */
const notEarlier: DenseMask = (t, a, row, j) => {
  const passes = a.earlier
  const firstRow = row.index - row.i
  for (let e = 0; e < passes; e++) {
    const rank = t.earlierRanks![passes * row.firstKey + e * a.keys + j]
    const at = 2 * (passes * firstRow + e * a.queries + row.i)
    if (rank >= t.earlierIntervals![at] && rank < t.earlierIntervals![at + 1]) return false
  }
  return true
}

const sameSegment: DenseMask = (t, a, { b, i }, j) => {
  if (t.qSegments === undefined || t.kvSegments === undefined) return true
  const own = t.qSegments[b * a.queries + i]
  return own >= 0 && own === t.kvSegments[b * a.keys + j]
}

const denseMasks: readonly DenseMask[] = [boolMask, notEarlier, sameSegment]

/** The row's place and its interval of keys; lo ≥ hi where it attends to nothing. */
export function queryRow(t: MaskTensors, a: AttentionArgs, b: number, h: number, i: number): QueryRow {
  const [alongBatch, alongHeads] = a.intervalStrides
  const interval = 2 * (b * alongBatch + h * alongHeads + i)
  const kvHead = Math.floor((h * a.kvHeads) / a.heads)
  const index = (b * a.heads + h) * a.queries + i
  const firstKey = (b * a.kvHeads + kvHead) * a.keys
  return {
    b,
    h,
    i,
    index,
    aligned: i + (t.shifts?.[b] ?? a.shift),
    lo: t.intervals?.[interval] ?? 0,
    hi: t.intervals?.[interval + 1] ?? a.keys,
    firstKey,
    at: a.positionsFirst ? (b * a.queries + i) * a.heads + h : index,
    keyAt: a.positionsFirst ? b * a.keys * a.kvHeads + kvHead : firstKey,
    keyStep: a.positionsFirst ? a.kvHeads : 1,
  }
}

/** The query rows of units [from, to): QUERY_TILE rows of one (batch, head) each. */
export function* queryRows(t: MaskTensors, a: AttentionArgs, from: number, to: number): Generator<QueryRow> {
  const tiles = Math.ceil(a.queries / QUERY_TILE)
  for (let unit = from; unit < to; unit++) {
    const first = (unit % tiles) * QUERY_TILE
    const batchHead = Math.floor(unit / tiles)
    const b = Math.floor(batchHead / a.heads)
    const h = batchHead % a.heads
    for (let i = first; i < Math.min(first + QUERY_TILE, a.queries); i++) yield queryRow(t, a, b, h, i)
  }
}

/** Whether every dense mask lets the row attend to key j of its interval. */
export function allowedByDenseMasks(t: MaskTensors, a: AttentionArgs, row: QueryRow, j: number): boolean {
  for (const allows of denseMasks) if (!allows(t, a, row, j)) return false
  return true
}

/** Where the mask's element for a pair stands: the strides are 0 along broadcast axes. */
export function maskIndex(a: AttentionArgs, row: QueryRow, j: number): number {
  const [alongBatch, alongHeads, alongQueries, alongKeys] = a.maskStrides
  return row.b * alongBatch + row.h * alongHeads + row.i * alongQueries + j * alongKeys
}
