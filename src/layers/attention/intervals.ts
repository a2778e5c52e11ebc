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
import type { Geometry } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { readLengths } from './lengths.ts'
import { MASKS, type MaskOptions } from './masks/index.ts'

/**
 * Rows looked at for the cost of what is attended: between them the number of keys changes linearly, or nearly so. Where
 * there are no more, their intervals are written when the program is compiled: less than what a step of it costs.
 */
const SAMPLES = 64

export interface Places {
  geometry: Pick<Geometry, 'batch' | 'queries' | 'keys'>
  /** where row 0 stands among the keys */
  shift: number
  /** [batch], where that differs between them */
  shifts?: Int32Array
  /** [batch], where the request gives them; a plan may not know their elements */
  qLengths?: Int32Array
  kvLengths?: Int32Array
  refs: { shifts?: Ref; qLengths?: Ref; kvLengths?: Ref }
}

interface PlaceOptions {
  causal?: boolean | 'top_left' | 'bottom_right' | undefined
  q_lengths?: TensorSource | undefined
  kv_lengths?: TensorSource | undefined
}

/** Row i stands at i + past, or under `bottom_right` at i + m − n, with that batch element's m and n. */
export function placesOf(p: RequestProgram, options: PlaceOptions, geometry: Geometry, past: number): Places {
  const { batch, queries, keys } = geometry
  const bottomRight = options.causal === 'bottom_right'
  const q = options.q_lengths && readLengths(options.q_lengths, '/q_lengths', batch, queries)
  const kv = options.kv_lengths && readLengths(options.kv_lengths, '/kv_lengths', batch, keys)
  const refOf = (given: unknown, data: Int32Array | undefined) =>
    given === undefined
      ? undefined
      : p.buffer({ type: 'int32', length: batch, data, preloaded: data === undefined })
  const places: Places = {
    geometry,
    shift: bottomRight ? keys - queries : past,
    qLengths: q,
    kvLengths: kv,
    refs: { qLengths: refOf(options.q_lengths, q), kvLengths: refOf(options.kv_lengths, kv) },
  }
  if (bottomRight && (q !== undefined || kv !== undefined)) {
    places.shifts = Int32Array.from({ length: batch }, (_, b) => (kv?.[b] ?? keys) - (q?.[b] ?? queries))
    places.refs.shifts = refOf(places.shifts, places.shifts)
  }
  return places
}

/** Of the masks that a request sets. */
export function rowMasks(options: MaskOptions): RowMask[] {
  const isSet = (name: string) => {
    const value = options[name as keyof MaskOptions]
    return value !== undefined && value !== false
  }
  return MASKS.flatMap(({ mask, names }) => (names.some(isSet) ? (mask.rows(options) ?? []) : []))
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
  const { batch, queries, keys } = places.geometry
  const everything = { strides: [0, 0] as [number, number], area: batch * queries * keys }
  if (masks.length === 0 || everything.area === 0) return everything
  const { qLengths, kvLengths, shifts } = places.refs
  const apart = qLengths !== undefined || kvLengths !== undefined
  const args: IntervalsArgs = { batch: apart ? batch : 1, queries, keys, shift: places.shift, masks }
  const rows = args.batch * queries
  const sample = sampled(places, masks, args.batch)
  const area = Math.round(pairs(sample) * (batch / args.batch))
  const strides: [number, number] = [apart ? queries : 0, 0]
  if (rows <= SAMPLES && !isPlanned(places)) {
    return {
      ref: p.buffer({ type: 'int32', length: 2 * rows, data: sample.intervals.flat() }),
      strides,
      area,
    }
  }
  const ref = p.buffer({ type: 'int32', length: 2 * rows })
  const tensors = { shifts, qLengths, kvLengths, intervals: ref }
  p.prepare(p.step(intervalsOp, tensors, args))
  return { ref, strides, area }
}

/** Whether there are lengths of which only the shape is known. */
function isPlanned({ refs, qLengths, kvLengths }: Places): boolean {
  return (
    (refs.qLengths !== undefined && qLengths === undefined) ||
    (refs.kvLengths !== undefined && kvLengths === undefined)
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
  }
}

/** Intervals of rows, and how many rows each of them stands for. */
interface Sample {
  intervals: [number, number][]
  stands: number[]
}

/** At most SAMPLES rows from all over [batch, queries]; all of them where there are no more. */
function sampled(places: Places, masks: readonly RowMask[], batch: number): Sample {
  const rows = batch * places.geometry.queries
  const step = Math.max(1, rows / SAMPLES)
  const sample: RowPlace[] = []
  const stands: number[] = []
  for (let row = 0; row < rows; row += step) {
    sample.push(placeAt(places, Math.min(rows - 1, row + (step - 1) / 2)))
    stands.push(Math.min(step, rows - row))
  }
  return { intervals: intervalsOfRows(masks, sample, places.geometry.keys), stands }
}

function pairs({ intervals, stands }: Sample): number {
  let area = 0
  for (const [at, [lo, hi]] of intervals.entries()) area += Math.max(0, hi - lo) * stands[at]
  return area
}

/** The pairs that the masks leave, by samples over all rows. */
export function areaOf(places: Places, masks: readonly RowMask[], batch: number): number {
  return pairs(sampled(places, masks, batch))
}
