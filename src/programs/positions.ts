/** What happens to q and k before their product: qk-norm, then rope; and backwards, in the opposite order. */
import type { Step } from '../../workers/program.ts'
import type { QkNormArgs, Ref, RopeArgs } from '../../workers/task.ts'
import type { ProgramBuilder } from './program.ts'

/** Rough operations per element, for costs: these steps are bound by memory. */
const NORM_FLOPS = 8
const ROPE_FLOPS = 12
const TABLE_FLOPS = 200

export interface RopeOptions {
  base: number
  interleaved: boolean
  dims: number
  offset: number
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
  rope?: { args: RopeArgs; cos: Ref; sin: Ref }
}

export function prepareForward(
  p: ProgramBuilder,
  x: Ref,
  rows: Rows,
  norm: Pick<QkNormArgs, 'kind' | 'eps'> | undefined,
  rope: RopeOptions | undefined,
): { prepared: Prepared; stages: Step[][] } {
  const count = rows.heads * rows.positions
  const prepared: Prepared = { ready: x, x }
  const first: Step[] = []
  const second: Step[] = []
  if (norm !== undefined) {
    prepared.norm = { rows: count, dim: rows.dim, ...norm }
    const y = p.reals(count * rows.dim)
    first.push(
      rowStep({ op: 'qkNormForward', tensors: { x, y }, args: prepared.norm }, count, rows.dim * NORM_FLOPS),
    )
    prepared.ready = y
  }
  if (rope !== undefined) {
    const { base, dims, offset, interleaved } = rope
    const table = (rows.positions * dims) / 2
    const cos = p.reals(table)
    const sin = p.reals(table)
    const tableArgs = { positions: rows.positions, dims, base, offset }
    first.push(
      rowStep(
        { op: 'ropeTable', tensors: { cos, sin }, args: tableArgs },
        rows.positions,
        (dims / 2) * TABLE_FLOPS,
      ),
    )
    const args = { rows: count, positions: rows.positions, dim: rows.dim, dims, interleaved }
    const y = p.reals(count * rows.dim)
    const tensors = { x: prepared.ready, cos, sin, y }
    second.push(rowStep({ op: 'ropeForward', tensors, args }, count, rows.dim * ROPE_FLOPS))
    prepared.rope = { args, cos, sin }
    prepared.ready = y
  }
  return { prepared, stages: [first, second] }
}

/** From the gradient of what the kernels read to the gradient of the input. */
export function prepareBackward(
  p: ProgramBuilder,
  { x, norm, rope }: Prepared,
  grad: Ref,
): { grad: Ref; stages: Step[][] } {
  const first: Step[] = []
  const second: Step[] = []
  let gradX = grad
  if (rope !== undefined) {
    const { args, cos, sin } = rope
    const out = p.reals(args.rows * args.dim)
    const tensors = { gradY: gradX, cos, sin, gradX: out }
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

type RowStep<S> = S extends Step ? Pick<S, 'op' | 'tensors' | 'args'> : never

function rowStep(call: RowStep<Step>, rows: number, flopsPerRow: number): Step {
  return { ...call, phase: 'compute', units: rows, chain: 1, flops: rows * flopsPerRow, bytes: 0 } as Step
}
