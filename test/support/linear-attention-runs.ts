/** Runs linear attention's kernels, forward and backward, over a case of attention. */

import { type Reals, scratchBytes } from '../../workers/ops/define-op.ts'
import type { linearAttention } from '../../workers/ops/linear-attention/index.ts'
import {
  linearAttentionForward,
  linearChunks,
  stateLength,
  stateSums,
} from '../../workers/ops/linear-attention/op.ts'
import type { Allocate, AttentionCase } from './attention-case.ts'
import type { FamilyKernels } from './family-kernels.ts'
import { ranges } from './ranges.ts'

export interface LinearRun {
  kernels: FamilyKernels<typeof linearAttention.ops>
  allocate: Allocate
  precision: 'float64' | 'float32'
  cuts?: number | undefined
}

/** Runs forward and backward over the case's tensors; gives back the normaliser. */
export function runLinear(c: AttentionCase, { kernels, allocate, precision, cuts }: LinearRun): Reals {
  const a = { ...c.args, causal: c.spec.causal }
  const rows = a.batch * a.heads * a.queries
  const reals = (length: number) => (allocate(precision, length) as Reals).fill(Number.NaN)
  const scratch =
    precision === 'float32'
      ? allocate('float32', scratchBytes(linearAttentionForward, a) / 4).fill(Number.NaN).byteOffset
      : 0
  const each = (units: number, step: (from: number, to: number) => void) => {
    for (const [from, to] of ranges(units, 1, cuts)) step(from, to)
  }
  const sumsOf = (side: 'keys' | 'queries', t: { x: Reals; y: Reals; w?: Reals; rowScale?: Reals }) => {
    const [heads, positions] = side === 'keys' ? [a.kvHeads, a.keys] : [a.heads, a.queries]
    const units = a.batch * heads * linearChunks(positions)
    const states = reals(units * stateLength(a))
    const sums = reals(a.batch * a.kvHeads * stateSums(a, positions) * stateLength(a))
    const args = { ...a, side }
    each(units, (from, to) => kernels.linearStates({ ...c, ...t, states }, args, from, to, scratch))
    each(a.batch * a.kvHeads, (from, to) =>
      kernels.linearStateSums({ states, sums }, args, from, to, scratch),
    )
    return sums
  }
  const normaliser = reals(rows)
  const rowScale = reals(rows)
  const keySums = sumsOf('keys', { x: c.k, y: c.v })
  const queryUnits = a.batch * a.heads * linearChunks(a.queries)
  each(queryUnits, (from, to) => {
    kernels.linearAttentionForward({ ...c, sums: keySums, normaliser, rowScale }, a, from, to, scratch)
  })
  const scaled = reals(rows * a.dimV)
  const gradNormaliser = reals(rows)
  each(rows, (from, to) => {
    kernels.linearAttentionDelta({ ...c, normaliser, scaled, gradNormaliser }, a, from, to, scratch)
  })
  const t = { ...c, scaled, gradNormaliser, rowScale }
  each(queryUnits, (from, to) => {
    kernels.linearAttentionBackwardQuery({ ...t, sums: keySums }, a, from, to, scratch)
  })
  const sums = sumsOf('queries', { x: c.q, y: scaled, w: gradNormaliser, rowScale })
  each(a.batch * a.kvHeads * linearChunks(a.keys), (from, to) => {
    kernels.linearAttentionBackwardKey({ ...t, sums }, a, from, to, scratch)
  })
  return normaliser
}
