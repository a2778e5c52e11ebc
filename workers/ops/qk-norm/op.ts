/** Normalisation of query and key rows before their product. */
import { type Args, defineArgs, defineFamily, oneOf, price } from '../define-op.ts'

/** Rough operations per element: these kernels are bound by memory. */
const FLOPS = 8

const FORWARD = { row: price(8), element: price(0.5, 3.4) }
const BACKWARD = { row: price(10), element: price(1, 6) }

const family = defineFamily('qk-norm')

const args = defineArgs({
  rows: 'i32',
  dim: 'i32',
  /** y = x/max(‖x‖₂, eps) for `l2`, y = x/√(mean(x²) + eps) for `rms` */
  kind: oneOf('l2', 'rms'),
  eps: 'f64',
})

/** Unit = row. */
export const qkNormForward = family.define('qkNormForward', {
  tensors: { x: 'in', y: 'out' },
  args,
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.dim * FLOPS,
    nanoseconds: a.rows * (FORWARD.row[p] + a.dim * FORWARD.element[p]),
  }),
})

/** Unit = row. A row whose gradY is all zero gives zeros, even where x is NaN. */
export const qkNormBackward = family.define('qkNormBackward', {
  tensors: { x: 'in', gradY: 'in', gradX: 'out' },
  args,
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.dim * FLOPS * 2,
    nanoseconds: a.rows * (BACKWARD.row[p] + a.dim * BACKWARD.element[p]),
  }),
})

export type QkNormArgs = Args<typeof qkNormForward>
