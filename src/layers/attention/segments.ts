/** `segments`: several sequences in one, of which a row attends only to its own. */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import { segmentIntervals } from '../../../workers/ops/intervals/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import { type Geometry, wrong } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Intervals } from './intervals.ts'

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

export function inputSegments(
  p: RequestProgram,
  { q, kv }: { q: TensorSource; kv?: TensorSource | undefined },
  g: Geometry,
  pastGiven: boolean,
): SegmentRefs {
  if (pastGiven) throw bothProblem('', 'segments', 'past_k')
  expectIds('/segments/q', q, g, g.queries)
  if (kv !== undefined) expectIds('/segments/kv', kv, g, g.keys)
  else if (g.queries !== g.keys) {
    const message = `expected segments.kv beside segments.q where N = ${g.queries} and M = ${g.keys} differ, got none`
    throw fieldProblem('SHAPE_MISMATCH', '/segments/kv', message)
  }
  const qSegments = p.inputWhole('/segments/q', q)
  return { qSegments, kvSegments: kv === undefined ? qSegments : p.inputWhole('/segments/kv', kv) }
}

function expectIds(pointer: string, source: TensorSource, { batch, batched }: Geometry, count: number): void {
  const { shape } = source
  const whole = shape.length === 2 && shape[0] === batch && shape[1] === count
  const alone = !batched && shape.length === 1 && shape[0] === count
  if (whole || alone) return
  wrong(pointer, source, batched ? `expected [${batch}, ${count}]` : `expected [${count}]`)
}

/** Intervals of the keys that both the masks and the segments allow. Only a worker knows how many pairs those are. */
export function withSegments(
  p: RequestProgram,
  masked: Intervals,
  segments: SegmentRefs,
  { batch, queries, keys }: Geometry,
): { intervals: Intervals; mixed: Ref } {
  const ref = p.buffer({ type: 'int32', length: 2 * batch * queries })
  const mixed = p.buffer({ type: 'int32', length: batch })
  const { qSegments, kvSegments } = segments
  const tensors = { qSegments, kvSegments, masked: masked.ref, intervals: ref, mixed }
  p.stage(p.step(segmentIntervals, tensors, { batch, queries, keys, maskedStride: masked.strides[0] }))
  return { intervals: { ref, strides: [queries, 0], area: masked.area }, mixed }
}
