/** Rotary position embedding. */
import { type Args, type ArgsOf, defineArgs, defineFamily, price, type StepContext } from '../define-op.ts'

/** Rough operations per element: these kernels are bound by memory. */
const FLOPS = 12

const ROW = price(2, 4)
const ELEMENT = price(0.16, 4.2)

const family = defineFamily('rope')

/**
 * Rotation of the first `dims` elements of every row of x [rows, dim] by a row of the table; the rest is copied. Pairs are
 * (x_j, x_{j+dims/2}), or (x_2j, x_2j+1) when interleaved. Rows are [batch, heads, positions]; those of a batch element turn by
 * the same `positions` rows of the table, which follow each other by batch element. Where one set of them is for all, `heads`
 * counts those of the whole batch. Each row stands for `alike` that follow one another and turn alike: the heads of a position, where
 * heads come last.
 */
const args = defineArgs({
  rows: 'i32',
  heads: 'i32',
  positions: 'i32',
  alike: 'i32',
  dim: 'i32',
  dims: 'i32',
  interleaved: 'flag',
})

function cost(a: ArgsOf<typeof args>, { precision: p }: StepContext) {
  return { flops: a.rows * a.dim * FLOPS, nanoseconds: a.rows * (ROW[p] + a.dim * ELEMENT[p]) }
}

/** Unit = row. */
export const ropeForward = family.define('ropeForward', {
  tensors: { x: 'in', cos: 'in', sin: 'in', y: 'out' },
  args,
  units: a => a.rows,
  cost,
})

/** Unit = row. The transpose of a rotation is the one by the opposite angle; a factor in cos and sin stays one. */
export const ropeBackward = family.define('ropeBackward', {
  tensors: { gradY: 'in', cos: 'in', sin: 'in', gradX: 'out' },
  args,
  units: a => a.rows,
  cost,
})

export type RopeArgs = Args<typeof ropeForward>
