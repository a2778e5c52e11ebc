/** `rope`: rotary position embedding of q and the new keys. Su et al. 2021 (RoFormer). */
import * as z from 'zod'
import type { Ref, Step } from '../../../../workers/contract.ts'
import { type RopeArgs, ropeBackward, ropeForward } from '../../../../workers/ops/rope/op.ts'
import { ropeTable as ropeTableOp } from '../../../../workers/ops/tables/op.ts'
import { fieldProblem } from '../../../problem.ts'
import type { Geometry } from '../../geometry.ts'
import { offset, pairedDimension, positive } from '../../numerics.ts'
import type { ProgramBuilder } from '../../program-builder.ts'
import type { AttentionPlan, RopeTable, Stage } from './stage.ts'

export const ropeField = z
  .strictObject({
    base: positive().default(10000),
    interleaved: z.boolean().default(false).describe('pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2)'),
    dims: pairedDimension().optional().describe('how many leading elements are rotated; even; default d_k'),
    q_offset: offset()
      .optional()
      .describe('position of the first query; default 0, or the length of the past'),
    k_offset: offset()
      .optional()
      .describe('position of the first new key; default 0, or the length of the past'),
  })
  .describe('Rotary position embedding of q and k, after qk_norm.')

export const ropeFields = { rope: ropeField.optional() }

export interface RopeOptions {
  base: number
  interleaved: boolean
  dims: number
  /** position of the first row */
  offset: number
  positions: number
}

/** The tables that every layer of a request shares. New queries and keys stand behind the past, unless the request says otherwise. */
export function planRope(
  p: ProgramBuilder,
  rope: z.output<typeof ropeField>,
  g: Geometry,
  past: number,
  pointer: string,
): { q: RopeTable; k: RopeTable } {
  const { base, interleaved, dims = g.dimK, q_offset = past, k_offset = past } = rope
  if (dims % 2 !== 0 || dims > g.dimK) {
    const message = `expected an even number of at most d_k = ${g.dimK}, got ${dims}`
    throw fieldProblem('INVALID_REQUEST', `${pointer}/dims`, rope.dims ? message : `${message} (the default)`)
  }
  const fresh = g.keys - past
  const [q, qStep] = ropeTable(p, { base, interleaved, dims, offset: q_offset, positions: g.queries })
  if (q_offset === k_offset && g.queries === fresh) {
    p.stage(qStep)
    return { q, k: q }
  }
  const [k, kStep] = ropeTable(p, { base, interleaved, dims, offset: k_offset, positions: fresh })
  p.stage(qStep, kStep)
  return { q, k }
}

/** A table, and the step that fills it. */
export function ropeTable(p: ProgramBuilder, options: RopeOptions): [RopeTable, Step] {
  const { base, dims, offset, positions, interleaved } = options
  const cos = p.reals((positions * dims) / 2)
  const sin = p.reals((positions * dims) / 2)
  const args = { positions, dims, base, offset }
  const step = p.step(ropeTableOp, { cos, sin }, args)
  return [{ dims, interleaved, cos, sin }, step]
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
  const { dims, interleaved, cos, sin } = table
  const args = { rows: count, positions: rows.positions, dim: rows.dim, dims, interleaved }
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
    const { geometry, past } = flow.plan
    const tables = flow.plan.rope as NonNullable<AttentionPlan['rope']>
    const { batch, heads, kvHeads, queries, keys, dimK: dim } = geometry
    const q = rotateForward(p, flow.q, { heads: batch * heads, positions: queries, dim }, tables.q)
    const k = rotateForward(p, flow.k, { heads: batch * kvHeads, positions: keys - past, dim }, tables.k)
    p.stage(q.step, k.step)
    flow.q = q.y
    flow.k = k.y

    return (p, gradients) => {
      const gradQ = gradients.q === undefined ? undefined : rotateBackward(p, q, gradients.q)
      const gradK = gradients.k === undefined ? undefined : rotateBackward(p, k, gradients.k)
      p.stage(...(gradQ ? [gradQ.step] : []), ...(gradK ? [gradK.step] : []))
      gradients.q = gradQ?.gradX
      gradients.k = gradK?.gradX
    }
  },
}
