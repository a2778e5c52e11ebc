/** Where the rows and keys of a request stand, and the interval of keys that each row may attend to. */

import type { Ref } from '../../../workers/contract.ts'
import {
  type IntervalsArgs,
  intervalsOfRows,
  intervals as intervalsOp,
  type RowMask,
  type RowPlace,
} from '../../../workers/ops/intervals/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { fieldsProblem } from '../../problem.ts'
import type { Geometry } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { readLengths } from './lengths.ts'
import { MASKS, type MaskOptions } from './masks/index.ts'
import { type Packed, packedIntervals } from './packed.ts'

/** Rows looked at for the cost of what is attended: between them the number of keys changes linearly, or nearly so. */
const SAMPLES = 64
/** The same where each row has keys of its own besides: how many those are may change from any row to the next. */
const SAMPLES_WITHIN = 1024
/**
 * Intervals of at most this many rows are written when the program is compiled: 13 µs, and a stage of their own, for which
 * workers wait for each other, takes more.
 */
const WRITTEN_ROWS = 512

export interface Places {
  geometry: Pick<Geometry, 'batch' | 'queries' | 'keys'>
  /** where row 0 stands among the keys */
  shift: number
  /** [batch], where that differs between them */
  shifts?: Int32Array
  /** [batch], where the request gives them; a plan may not know their elements */
  qLengths?: Int32Array
  kvLengths?: Int32Array
  prefixLengths?: Int32Array
  refs: { shifts?: Ref; qLengths?: Ref; kvLengths?: Ref; prefixLengths?: Ref }
  /** sequences that rows and keys are counted in */
  packed?: Packed
}

interface PlaceOptions {
  causal?: boolean | 'top_left' | 'bottom_right' | undefined
  q_lengths?: TensorSource | undefined
  kv_lengths?: TensorSource | undefined
  prefix_lengths?: TensorSource | undefined
  /** where rows stand, if not as `causal` says: see `Aligned` of the dialects */
  aligned?: 'bottom_right' | 'all_keys' | undefined
}

/** Row i stands at i + past, or under `bottom_right` at i + m − n, with that batch element's m and n. */
export function placesOf(
  p: RequestProgram,
  options: PlaceOptions,
  geometry: Geometry,
  past: number,
  pointers: Record<string, string> = {},
): Places {
  const { batch, queries, keys } = geometry
  const { causal, aligned } = options
  const bottomRight = causal === 'bottom_right' || aligned === 'bottom_right'
  const q = options.q_lengths && readLengths(options.q_lengths, '/q_lengths', batch, queries)
  const kvPointer = pointers.kv_lengths ?? '/kv_lengths'
  const kv = options.kv_lengths && readLengths(options.kv_lengths, kvPointer, batch, keys)
  const prefix = prefixOf(options, batch, keys, pointers.causal ?? '/causal')
  const refOf = (given: unknown, data: Int32Array | undefined) =>
    given === undefined
      ? undefined
      : p.buffer({ type: 'int32', length: batch, data, preloaded: data === undefined })
  const places: Places = {
    geometry,
    shift: bottomRight || aligned === 'all_keys' ? keys - queries : past,
    qLengths: q,
    kvLengths: kv,
    prefixLengths: prefix,
    refs: {
      qLengths: refOf(options.q_lengths, q),
      kvLengths: refOf(options.kv_lengths, kv),
      prefixLengths: refOf(options.prefix_lengths, prefix),
    },
  }
  if (bottomRight && (q !== undefined || kv !== undefined)) {
    places.shifts = new Int32Array(batch)
    for (let b = 0; b < batch; b++) places.shifts[b] = (kv?.[b] ?? keys) - (q?.[b] ?? queries)
    places.refs.shifts = refOf(places.shifts, places.shifts)
  }
  return places
}

function prefixOf({ causal, prefix_lengths }: PlaceOptions, batch: number, keys: number, pointer: string) {
  if (prefix_lengths === undefined) return undefined
  if (causal) return readLengths(prefix_lengths, '/prefix_lengths', batch, keys)
  const message = 'expected causal beside prefix_lengths, got prefix_lengths alone'
  throw fieldsProblem('INVALID_REQUEST', [
    { path: '/prefix_lengths', message },
    { path: pointer, message },
  ])
}

/** Of the masks that a request sets; `past` keys come before the new ones. */
export function rowMasks(options: MaskOptions, past = 0): RowMask[] {
  const isSet = (name: string) => {
    const value = options[name as keyof MaskOptions]
    return value !== undefined && value !== false
  }
  return MASKS.flatMap(({ mask, names }) => (names.some(isSet) ? (mask.rows(options, past) ?? []) : []))
}

export interface Intervals {
  /** [batch or 1, queries, 2]; undefined where every row attends to all keys */
  ref?: Ref
  /** as in AttentionArgs */
  strides: [number, number]
  /** pairs that are attended, over the whole batch, for one head; dense masks are not looked at */
  area: number
}

/** The step that evaluates the masks reads no tensor of the request: it stands beside those that decode. */
export function intervalsOf(p: RequestProgram, places: Places, masks: RowMask[]): Intervals {
  if (places.packed !== undefined) return packedIntervals(p, places.packed, masks)
  const { batch, queries, keys } = places.geometry
  const everything = { strides: [0, 0] as [number, number], area: batch * queries * keys }
  if (masks.length === 0 || everything.area === 0) return everything
  const { qLengths, kvLengths, prefixLengths, shifts } = places.refs
  const apart = qLengths !== undefined || kvLengths !== undefined || prefixLengths !== undefined
  const args: IntervalsArgs = { batch: apart ? batch : 1, queries, keys, shift: places.shift, masks }
  const rows = args.batch * queries
  const written = rows <= WRITTEN_ROWS && !isPlanned(places) ? rowsOf(places, args.batch) : undefined
  const area = Math.round(areaOf(places, masks, args.batch) * (batch / args.batch))
  const strides: [number, number] = [apart ? queries : 0, 0]
  if (written !== undefined) {
    const data = intervalsOfRows(masks, written, keys).flat()
    return { ref: p.buffer({ type: 'int32', length: 2 * rows, data }), strides, area }
  }
  const ref = p.buffer({ type: 'int32', length: 2 * rows })
  const tensors = { shifts, qLengths, kvLengths, prefixLengths, intervals: ref }
  p.prepare(p.step(intervalsOp, tensors, args))
  return { ref, strides, area }
}

/** Whether there are lengths of which only the shape is known. */
function isPlanned({ refs, qLengths, kvLengths, prefixLengths }: Places): boolean {
  return (
    (refs.qLengths !== undefined && qLengths === undefined) ||
    (refs.kvLengths !== undefined && kvLengths === undefined) ||
    (refs.prefixLengths !== undefined && prefixLengths === undefined)
  )
}

/** Query rows of the whole batch that are no padding. */
export function liveRows({ geometry, qLengths }: Places): number {
  return qLengths?.reduce((sum, length) => sum + length, 0) ?? geometry.batch * geometry.queries
}

/** A row of [batch, queries]; rows between two have what stands between them. */
function placeAt(places: Places, row: number): RowPlace {
  const { queries, keys } = places.geometry
  const b = Math.floor(row / queries)
  const i = row - b * queries
  return {
    i,
    aligned: i + (places.shifts?.[b] ?? places.shift),
    queries: places.qLengths?.[b] ?? queries,
    keys: places.kvLengths?.[b] ?? keys,
    prefix: places.prefixLengths?.[b] ?? (places.refs.prefixLengths === undefined ? 0 : keys),
  }
}

/** Rows of [batch, queries], `step` apart. */
function rowsOf(places: Places, batch: number, step = 1): RowPlace[] {
  const rows = batch * places.geometry.queries
  const found: RowPlace[] = []
  for (let row = 0; row < rows; row += step)
    found.push(placeAt(places, Math.min(rows - 1, row + (step - 1) / 2)))
  return found
}

/** The pairs that the masks leave, by samples over all rows; `within`: the only keys [lo, hi) that a row may attend to. */
export function areaOf(
  places: Places,
  masks: readonly RowMask[],
  batch: number,
  within?: (row: number) => readonly [lo: number, hi: number],
): number {
  const rows = batch * places.geometry.queries
  const step = Math.max(1, rows / (within === undefined ? SAMPLES : SAMPLES_WITHIN))
  const found = intervalsOfRows(masks, rowsOf(places, batch, step), places.geometry.keys)
  let [area, row] = [0, 0]
  for (const [lo, hi] of found) {
    const [from, to] = within?.(Math.floor(row)) ?? [lo, hi]
    area += Math.max(0, Math.min(hi, to) - Math.max(lo, from)) * Math.min(step, rows - row)
    row += step
  }
  return area
}
