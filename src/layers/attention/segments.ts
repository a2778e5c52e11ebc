/** `segments`: several sequences in one, of which a row attends only to its own. */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import { intervalsOfSegments, type RowMask, segmentIntervals } from '../../../workers/ops/intervals/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import { type Geometry, wrong } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { areaOf, type Intervals, type Places } from './intervals.ts'
import { readIntegers } from './lengths.ts'

/** Ids that the main thread reads, and segments of a batch element that it tells apart, to know what they cost. */
const MOST_READ = 16384
const MOST_SEGMENTS = 1024

export function segmentFields(tensors: TensorKinds) {
  return {
    segments: z
      .strictObject({
        q: tensors.whole.describe('[B, N]: int32 ids of the queries; a negative one is padding'),
        kv: tensors.whole.optional().describe('[B, M]: of the keys; default q, where N = M'),
      })
      .optional()
      .describe(
        'A row attends only to keys of the same id; one with a negative id attends to nothing and is attended by nobody. Without a ' +
          'batch also [N] and [M]. No time is spent on other segments where each is one run and they come in the same order in q and kv. ' +
          'Not beside past_k.',
      ),
  }
}

/** [batch, queries] and [batch, keys]. */
export interface SegmentRefs {
  qSegments: Ref
  kvSegments: Ref
  mixedSegments?: Ref
}

export interface Segments {
  refs: SegmentRefs
  /** where the main thread has read them, to know what they cost */
  ids?: { q: Int32Array; kv: Int32Array }
}

export function inputSegments(
  p: RequestProgram,
  { q, kv }: { q: TensorSource; kv?: TensorSource | undefined },
  g: Geometry,
  pastGiven: boolean,
): Segments {
  if (pastGiven) throw bothProblem('', 'segments', 'past_k')
  expectIds('/segments/q', q, g, g.queries)
  if (kv !== undefined) expectIds('/segments/kv', kv, g, g.keys)
  else if (g.queries !== g.keys) {
    const message = `expected segments.kv beside segments.q where N = ${g.queries} and M = ${g.keys} differ, got none`
    throw fieldProblem('SHAPE_MISMATCH', '/segments/kv', message)
  }
  const qSegments = p.inputWhole('/segments/q', q)
  const kvSegments = kv === undefined ? qSegments : p.inputWhole('/segments/kv', kv)
  return { refs: { qSegments, kvSegments }, ids: readIds(q, kv ?? q) }
}

/** Ids of which there are few enough; what is wrong with one of them is found where all of them are read. */
function readIds(q: TensorSource, kv: TensorSource): Segments['ids'] {
  if (q.count + (kv === q ? 0 : kv.count) > MOST_READ || q.form === 'shape' || kv.form === 'shape')
    return undefined
  if (q.count === 0 || kv.count === 0) return undefined
  const ofQ = readIntegers(q)
  const ofKv = kv === q ? ofQ : readIntegers(kv)
  if (ofQ.fault !== undefined || ofKv.fault !== undefined) return undefined
  return { q: ofQ.values, kv: ofKv.values }
}

function expectIds(pointer: string, source: TensorSource, { batch, batched }: Geometry, count: number): void {
  const { shape } = source
  const whole = shape.length === 2 && shape[0] === batch && shape[1] === count
  const alone = !batched && shape.length === 1 && shape[0] === count
  if (whole || alone) return
  wrong(pointer, source, batched ? `expected [${batch}, ${count}]` : `expected [${count}]`)
}

/**
 * Intervals of the keys that both the masks and the segments allow. Where there are more ids than the main thread reads, they cost as
 * much as one segment alone would.
 */
export function withSegments(
  p: RequestProgram,
  masked: Intervals,
  { refs, ids }: Segments,
  places: Places,
  masks: readonly RowMask[],
): { intervals: Intervals; mixed: Ref } {
  const { batch, queries, keys } = places.geometry
  const ref = p.buffer({ type: 'int32', length: 2 * batch * queries })
  const mixed = p.buffer({ type: 'int32', length: batch })
  const { qSegments, kvSegments } = refs
  const tensors = { qSegments, kvSegments, masked: masked.ref, intervals: ref, mixed }
  p.stage(p.step(segmentIntervals, tensors, { batch, queries, keys, maskedStride: masked.strides[0] }))
  const within = ids && intervalsWithin(ids, places.geometry)
  const area = within && Math.round(areaOf(places, masks, batch, within))
  return { intervals: { ref, strides: [queries, 0], area: area ?? masked.area }, mixed }
}

/** The keys that kernels go through for a row, whatever other masks allow; undefined where there are many segments. */
function intervalsWithin(
  { q, kv }: NonNullable<Segments['ids']>,
  { batch, queries, keys }: Places['geometry'],
): ((row: number) => [lo: number, hi: number]) | undefined {
  const intervals = new Int32Array(2 * batch * queries)
  for (let b = 0; b < batch; b++) {
    const [from, to] = [b * queries, (b + 1) * queries]
    const own = intervals.subarray(2 * from, 2 * to)
    const ofKeys = kv.subarray(b * keys, (b + 1) * keys)
    if (intervalsOfSegments(q.subarray(from, to), ofKeys, own, MOST_SEGMENTS) === undefined) return undefined
  }
  return row => [intervals[2 * row], intervals[2 * row + 1]]
}
