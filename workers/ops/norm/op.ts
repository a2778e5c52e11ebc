/** LayerNorm and RMSNorm of rows, with a gain and an offset. */
import { type Args, defineArgs, defineFamily, oneOf, price } from '../define-op.ts'

/** Rows of one unit of `normBackward`. */
export const NORM_ROWS = 32

/** Rough operations per element: these kernels are bound by memory. */
const FORWARD_FLOPS = 8
const BACKWARD_FLOPS = 16

const FORWARD = { row: price(9, 390), element: price(0.85, 4.2) }
const BACKWARD = { row: price(17, 100), element: price(2.1, 14) }

const family = defineFamily('norm')

const args = defineArgs({
  rows: 'i32',
  /** elements of a row */
  dim: 'i32',
  /** `layer` x̂ = (x − mean)/√(var + eps), var = mean((x − mean)²); `rms` x̂ = x/√(mean(x²) + eps) */
  kind: oneOf('layer', 'rms'),
  eps: 'f64',
})

/** y = x̂ ⊙ gamma + beta, each optional [dim]. Unit = row. */
export const normForward = family.define('normForward', {
  tensors: { x: 'in', gamma: 'in?', beta: 'in?', y: 'out' },
  args,
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.dim * FORWARD_FLOPS,
    nanoseconds: a.rows * (FORWARD.row[p] + a.dim * FORWARD.element[p]),
  }),
})

/**
 * gradX = (∂y/∂x)ᵀ·gradY + residual. Unit = NORM_ROWS rows; each writes its row of partialGamma (Σ gradY ⊙ x̂) and
 * partialBeta (Σ gradY), [units, dim], where given.
 */
export const normBackward = family.define('normBackward', {
  tensors: {
    x: 'in',
    gamma: 'in?',
    gradY: 'in',
    residual: 'in?',
    gradX: 'out',
    partialGamma: 'out?',
    partialBeta: 'out?',
  },
  args,
  units: a => Math.ceil(a.rows / NORM_ROWS),
  cost: (a, { units, precision: p }) => ({
    flops: units * Math.min(a.rows, NORM_ROWS) * a.dim * BACKWARD_FLOPS,
    nanoseconds: a.rows * (BACKWARD.row[p] + a.dim * BACKWARD.element[p]),
  }),
})

export type NormArgs = Args<typeof normForward>
