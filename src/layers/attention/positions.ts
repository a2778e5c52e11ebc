/** What happens to q and k before their product: qk-norm, then rope; and backwards, in the opposite order. */

import type { QkNormArgs } from '../../../workers/ops/qk-norm/op.ts'
import type { RopeArgs } from '../../../workers/ops/rope/op.ts'
import type { StepDraft } from '../../../workers/program.ts'
import type { Ref } from '../../../workers/task.ts'
import type { ProgramBuilder } from '../../program.ts'
import { rowStep } from '../row-step.ts'

/** Rough operations per element, for costs: these steps are bound by memory. */
const NORM_FLOPS = 8
const ROPE_FLOPS = 12
const TABLE_FLOPS = 200

export interface RopeOptions {
  base: number
  interleaved: boolean
  dims: number
  /** position of the first row */
  offset: number
  positions: number
}

/** cos and sin of the angles, [positions, dims/2] each. */
export interface RopeTable {
  dims: number
  interleaved: boolean
  cos: Ref
  sin: Ref
}

/** The tables of queries and keys: one and the same where they stand at the same positions. */
export function ropeTables(
  p: ProgramBuilder,
  q: RopeOptions,
  k: RopeOptions,
): { q: RopeTable; k: RopeTable } {
  const same = q.offset === k.offset && q.positions === k.positions
  const [qTable, qStep] = ropeTable(p, q)
  if (same) {
    p.stage(qStep)
    return { q: qTable, k: qTable }
  }
  const [kTable, kStep] = ropeTable(p, k)
  p.stage(qStep, kStep)
  return { q: qTable, k: kTable }
}

/** A table, and the step that fills it. */
export function ropeTable(p: ProgramBuilder, options: RopeOptions): [RopeTable, StepDraft] {
  const { base, dims, offset, positions, interleaved } = options
  const cos = p.reals((positions * dims) / 2)
  const sin = p.reals((positions * dims) / 2)
  const args = { positions, dims, base, offset }
  const step = rowStep({ op: 'ropeTable', tensors: { cos, sin }, args }, positions, (dims / 2) * TABLE_FLOPS)
  return [{ dims, interleaved, cos, sin }, step]
}

/** One of q and k: [heads, positions, dim] with the batch folded into heads. */
export interface Rows {
  heads: number
  positions: number
  dim: number
}

export interface Prepared {
  /** what the attention kernels read */
  ready: Ref
  x: Ref
  norm?: QkNormArgs
  rope?: { args: RopeArgs; table: RopeTable }
}

export function prepareForward(
  p: ProgramBuilder,
  x: Ref,
  rows: Rows,
  norm: Pick<QkNormArgs, 'kind' | 'eps'> | undefined,
  table: RopeTable | undefined,
): { prepared: Prepared; stages: StepDraft[][] } {
  const count = rows.heads * rows.positions
  const prepared: Prepared = { ready: x, x }
  const first: StepDraft[] = []
  const second: StepDraft[] = []
  if (norm !== undefined) {
    prepared.norm = { rows: count, dim: rows.dim, ...norm }
    const y = p.reals(count * rows.dim)
    first.push(
      rowStep({ op: 'qkNormForward', tensors: { x, y }, args: prepared.norm }, count, rows.dim * NORM_FLOPS),
    )
    prepared.ready = y
  }
  if (table !== undefined) {
    second.push(rotate(p, prepared, rows, table))
  }
  return { prepared, stages: [first, second] }
}

/** Rotates what is ready so far. */
function rotate(p: ProgramBuilder, prepared: Prepared, rows: Rows, table: RopeTable): StepDraft {
  const count = rows.heads * rows.positions
  const { dims, interleaved, cos, sin } = table
  const args = { rows: count, positions: rows.positions, dim: rows.dim, dims, interleaved }
  const y = p.reals(count * rows.dim)
  const tensors = { x: prepared.ready, cos, sin, y }
  prepared.rope = { args, table }
  prepared.ready = y
  return rowStep({ op: 'ropeForward', tensors, args }, count, rows.dim * ROPE_FLOPS)
}

/** From the gradient of what the kernels read to the gradient of the input. */
export function prepareBackward(
  p: ProgramBuilder,
  { x, norm, rope }: Prepared,
  grad: Ref,
): { grad: Ref; stages: StepDraft[][] } {
  const first: StepDraft[] = []
  const second: StepDraft[] = []
  let gradX = grad
  if (rope !== undefined) {
    const { args, table } = rope
    const out = p.reals(args.rows * args.dim)
    const tensors = { gradY: gradX, cos: table.cos, sin: table.sin, gradX: out }
    first.push(rowStep({ op: 'ropeBackward', tensors, args }, args.rows, args.dim * ROPE_FLOPS))
    gradX = out
  }
  if (norm !== undefined) {
    const out = p.reals(norm.rows * norm.dim)
    const tensors = { x, gradY: gradX, gradX: out }
    second.push(rowStep({ op: 'qkNormBackward', tensors, args: norm }, norm.rows, norm.dim * NORM_FLOPS * 2))
    gradX = out
  }
  return { grad: gradX, stages: [first, second] }
}
