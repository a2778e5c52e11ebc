/** `relative_bias`: T5's table of biases by bucket of j − i, and below it the table's gradient. */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import { bucketSums, distanceBiases } from '../../../workers/ops/relative-bias/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { fieldProblem } from '../../problem.ts'
import { type Geometry, wrong } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Places } from './intervals.ts'

const MOST_DISTANCE = 2 ** 30

/** How distances fall into buckets. */
const bucketFields = {
  max_distance: z
    .int()
    .min(1)
    .max(MOST_DISTANCE)
    .default(128)
    .describe('from here on, all distances share a bucket'),
  bidirectional: z
    .boolean()
    .default(true)
    .describe('half of the buckets for keys after i; false: those are all in bucket 0, as in T5’s decoder'),
}

export const relativeBiasField = (tensors: TensorKinds) =>
  z
    .strictObject({
      table: tensors.values.describe('[buckets, H]'),
      ...bucketFields,
    })
    .describe(
      'T5’s relative position bias: adds table[bucket(j − i), h] to the scores, i aligned as `causal` says. The gradient is ' +
        '`grads.relative_bias.table`, in `wrt` `relative_bias.table`.',
    )

/** In a stack, whose parameter `relative_bias.table` is the table. */
export const stackBiasField = z
  .strictObject(bucketFields)
  .describe(
    'T5’s relative position bias in every layer; its table [buckets, H] is the parameter `relative_bias.table`, with `init` of 32 ' +
      'buckets. That parameter alone takes the defaults.',
  )

export interface RelativeBias {
  args: { heads: number; buckets: number; maxDistance: number; bidirectional: boolean } & Distances
  /** [heads, distances] */
  biases: Ref
}

interface Distances {
  distances: number
  firstDistance: number
}

/** A table, of the request or a parameter that is there, and how distances fall into its buckets. */
export interface RelativeBiasOptions extends z.output<typeof stackBiasField> {
  table: TensorSource | { shape: number[]; ref: Ref }
}

/** Adds the step that says the bias of every distance there can be. */
export function planRelativeBias(
  p: RequestProgram,
  { table, max_distance: maxDistance, bidirectional }: RelativeBiasOptions,
  { heads, ...extents }: Geometry,
  places: Places,
  pointers: Record<string, string> = {},
): RelativeBias {
  const { shape } = table
  const least = bidirectional ? 4 : 2
  if (shape.length !== 2 || shape[1] !== heads || shape[0] < least) {
    const pointer = pointers['relative_bias.table'] ?? '/relative_bias/table'
    wrong(pointer, table, `expected [buckets, ${heads}] with at least ${least} buckets`)
  }
  const buckets = shape[0]
  const exact = Math.floor((bidirectional ? Math.floor(buckets / 2) : buckets) / 2)
  if (maxDistance <= exact) {
    const message = `expected more than ${exact}, the distances that have a bucket of their own with ${buckets} buckets, got ${maxDistance}`
    throw fieldProblem(
      'INVALID_REQUEST',
      `${pointers.relative_bias ?? '/relative_bias'}/max_distance`,
      message,
    )
  }
  // lengths and sequences shift rows by no more than their own extents
  const { queries, keys } = places.packed?.longest ?? extents
  const apart = (places.packed?.shifts ?? places.refs.shifts) !== undefined
  const [leastShift, mostShift] = apart ? [-queries, keys] : [places.shift, places.shift]
  const firstDistance = 1 - queries - mostShift
  const distances = Math.max(0, keys - leastShift - firstDistance)
  const args = { heads, buckets, maxDistance, bidirectional, firstDistance, distances }
  const biases = p.reals(heads * distances)
  const ref = 'ref' in table ? table.ref : p.input('/relative_bias/table', table)
  p.stage(p.step(distanceBiases, { table: ref, biases }, args))
  return { args, biases }
}

/** ∂L/∂table from those of the distances' biases, [parts, heads, distances]. */
export function relativeBiasBackward(p: RequestProgram, { args }: RelativeBias, gradDistances: Ref): Ref {
  const { buckets, heads, distances } = args
  const gradTable = p.reals(buckets * heads)
  const parts = distances === 0 ? 0 : p.buffers[gradDistances].length / (heads * distances)
  p.stage(p.step(bucketSums, { gradDistances, gradTable }, { ...args, parts }))
  return gradTable
}
