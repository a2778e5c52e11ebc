/** `rope`: rotary position embedding of q and the new keys. Su et al. 2021 (RoFormer). */
import * as z from 'zod'
import type { Ref, Step } from '../../../../workers/contract.ts'
import { sequencePlaces } from '../../../../workers/ops/head-order/op.ts'
import { type RopeArgs, ropeBackward, ropeForward } from '../../../../workers/ops/rope/op.ts'
import { ropeTable as ropeTableOp } from '../../../../workers/ops/tables/op.ts'
import type { TensorSource } from '../../../formats/tensor.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import { bothProblem } from '../../../problem.ts'
import { type Geometry, wrong } from '../../geometry.ts'
import { offset, pairedDimension } from '../../numerics.ts'
import type { ProgramBuilder, RequestProgram } from '../../program-builder.ts'
import type { Packed } from '../packed.ts'
import { type Frequencies, frequencyFields, planFrequencies, type RowPlaces } from '../rope-frequencies.ts'
import type { AttentionPlan, RopeTable, Stage, StageBackward, StageTangent } from './stage.ts'

export function ropeField(tensors: TensorKinds) {
  const places = (what: string) =>
    tensors.whole
      .optional()
      .describe(
        `int32 positions of the ${what}, or with a leading B; instead of \`${what[0]}_offset\`. Negative ones turn backwards`,
      )
  return z
    .strictObject({
      ...frequencyFields(tensors),
      interleaved: z.boolean().default(false).describe('pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2)'),
      dims: pairedDimension()
        .optional()
        .describe('how many leading elements are rotated; even; default d_k, or twice the frequencies'),
      q_offset: offset()
        .optional()
        .describe('position of the first query; default 0, or the length of the past'),
      k_offset: offset()
        .optional()
        .describe('position of the first new key; default 0, or the length of the past'),
      q_positions: places('queries [N]'),
      k_positions: places('keys [M] that are new'),
    })
    .describe(
      'Rotary position embedding of q and k, after qk_norm. q and k are placed apart: what is said of the one says nothing of the other.',
    )
}

export function ropeFields(tensors: TensorKinds) {
  return { rope: ropeField(tensors).optional() }
}

type RopeOptions = z.output<ReturnType<typeof ropeField>>

/** The tables that every layer of a request shares. New queries and keys stand behind the past, unless the request says otherwise. */
export function planRope(
  p: RequestProgram,
  rope: RopeOptions,
  g: Geometry,
  past: number,
  pointer: string,
  packed?: Packed,
): { q: RopeTable; k: RopeTable } {
  const batch = g.batched ? g.batch : undefined
  const side = (name: 'q' | 'k', count: number): RowPlaces => {
    const [offset, places] = [rope[`${name}_offset`], rope[`${name}_positions`]]
    if (places === undefined && packed !== undefined) return inSequences(p, packed, name, offset ?? 0)
    if (places === undefined) return { positions: count, offset: offset ?? past, batches: 1 }
    if (offset !== undefined) throw bothProblem(pointer, `${name}_positions`, `${name}_offset`)
    return placesOf(p, `${pointer}/${name}_positions`, places, count, batch)
  }
  const rows = [side('q', g.queries), side('k', g.keys - past)]
  const frequencies = planFrequencies(p, rope, { name: 'd_k', dim: g.dimK }, rows, pointer)
  const [forQ, forK] = rows
  const [q, qStep] = ropeTable(p, frequencies, rope.interleaved, forQ)
  const placed = forQ.places !== undefined || forK.places !== undefined
  if (!placed && forQ.offset === forK.offset && forQ.positions === forK.positions) {
    p.stage(qStep)
    return { q, k: q }
  }
  const [k, kStep] = ropeTable(p, frequencies, rope.interleaved, forK)
  p.stage(qStep, kStep)
  return { q, k }
}

/** Positions within packed sequences, from `first` on in each. */
function inSequences(
  p: RequestProgram,
  { sequences, refs, rows }: Packed,
  name: 'q' | 'k',
  first: number,
): RowPlaces {
  const { positions } = rows[name]
  const places = p.buffer({ type: 'int32', length: positions })
  const offsets = name === 'q' ? refs.cuQ : refs.cuK
  p.prepare(p.step(sequencePlaces, { offsets, places }, { sequences, positions, first }))
  return { positions, offset: 0, places, batches: 1 }
}

/** Positions that a request gives: [count], or [batch, count] where it has a batch. */
export function placesOf(
  p: RequestProgram,
  pointer: string,
  source: TensorSource,
  count: number,
  batch: number | undefined,
): RowPlaces {
  const { shape } = source
  const apart = shape.length === 2 && shape[0] === batch
  if (shape.at(-1) !== count || !(shape.length === 1 || apart)) {
    const batched = batch === undefined ? '' : ` or [${batch}, ${count}]`
    wrong(pointer, source, `expected [${count}]${batched}`)
  }
  const places = p.inputWhole(pointer, source)
  return { positions: count, offset: 0, places, batches: apart ? (batch as number) : 1 }
}

/** A table, and the step that fills it. */
export function ropeTable(
  p: ProgramBuilder,
  { dims, base, factor, ref }: Frequencies,
  interleaved: boolean,
  { positions, offset, places, batches }: RowPlaces,
): [RopeTable, Step] {
  const rows = batches * positions
  const cos = p.reals((rows * dims) / 2)
  const sin = p.reals((rows * dims) / 2)
  const args = { positions: rows, dims, base, offset, factor }
  const step = p.step(ropeTableOp, { places, frequencies: ref, cos, sin }, args)
  return [{ batches, dims, interleaved, cos, sin }, step]
}

/** One of q and k, [heads, positions, dim] with the batch folded into heads, rotated. */
export interface Rotated {
  y: Ref
  args: RopeArgs
  table: RopeTable
  step: Step
}

export function rotateForward(
  p: ProgramBuilder,
  x: Ref,
  rows: { heads: number; positions: number; dim: number },
  table: RopeTable,
): Rotated {
  const count = rows.heads * rows.positions
  const { batches, dims, interleaved, cos, sin } = table
  // an empty batch has no rows to share a table between
  const heads = rows.heads / Math.max(1, batches)
  const args = { rows: count, heads, positions: rows.positions, dim: rows.dim, dims, interleaved }
  const y = p.reals(count * rows.dim)
  return { y, args, table, step: p.step(ropeForward, { x, cos, sin, y }, args) }
}

/** Differentiates rotateForward. */
export function rotateBackward(p: ProgramBuilder, { args, table }: Rotated, gradY: Ref) {
  const gradX = p.reals(args.rows * args.dim)
  const tensors = { gradY, cos: table.cos, sin: table.sin, gradX }
  return { gradX, step: p.step(ropeBackward, tensors, args) }
}

export const rope: Stage = {
  needs: 'rope',
  forward(p, flow) {
    const { geometry, past, packed } = flow.plan
    const tables = flow.plan.rope as NonNullable<AttentionPlan['rope']>
    const { batch, heads, kvHeads, queries, keys, dimK: dim } = geometry
    const rotate = (x: Ref, heads: number, positions: number, table: RopeTable) => {
      if (packed === undefined) return rotateForward(p, x, { heads: batch * heads, positions, dim }, table)
      // the heads of a position follow each other
      const turned = { ...table, batches: positions }
      return rotateForward(p, x, { heads: positions * heads, positions: 1, dim }, turned)
    }
    const q = rotate(flow.q, heads, queries, tables.q)
    const k = rotate(flow.k, kvHeads, keys - past, tables.k)
    p.stage(q.step, k.step)
    flow.q = q.y
    flow.k = k.y

    const backward: StageBackward = (p, gradients) => {
      const gradQ = gradients.q === undefined ? undefined : rotateBackward(p, q, gradients.q)
      const gradK = gradients.k === undefined ? undefined : rotateBackward(p, k, gradients.k)
      p.stage(...(gradQ ? [gradQ.step] : []), ...(gradK ? [gradK.step] : []))
      gradients.q = gradQ?.gradX
      gradients.k = gradK?.gradX
    }

    /** A rotation is linear: the tangent turns by the same angles. */
    const tangent: StageTangent = (p, tangents) => {
      const forQ = tangents.q === undefined ? undefined : rotate(tangents.q, heads, queries, tables.q)
      const forK = tangents.k === undefined ? undefined : rotate(tangents.k, kvHeads, keys - past, tables.k)
      p.stage(...(forQ ? [forQ.step] : []), ...(forK ? [forK.step] : []))
      tangents.q = forQ?.y
      tangents.k = forK?.y
    }
    return { backward, tangent }
  },
}
