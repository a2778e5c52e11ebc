/** What gradients are held against differences of the loss with: inputs that are moved a little, and the loss as one number. */
import { type Args, defineFamily, oneOf, price, type Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

const READ = price(2)
const MOVED = price(3)
const SUMMED = price(6)

const family = defineFamily('differences')

/** Numbers of `figures`: the root mean square of the finite elements, the largest of their absolute values, and how many there are. */
export const SIZE_COUNT = 3
/** Numbers of `value`: the loss, and the sum of the absolute values of its terms. */
export const LOSS_COUNT = 2

/** figures [SIZE_COUNT] of x. One unit. */
export const tensorSize = family.define('tensorSize', {
  tensors: { x: 'in', figures: 'out:float64' },
  args: { count: 'i32' },
  units: () => 1,
  cost: (a, { precision: p }) => ({ flops: 3 * a.count, nanoseconds: a.count * READ[p] }),
  shared: true,
})

/**
 * y = x, or x with one element moved by `step` times its size, or all of them along a direction drawn from the seed: see kernel.ts.
 * Elements that are not finite stay. Unit = ELEMENT_BLOCK elements.
 */
export const moveElements = family.define('moveElements', {
  tensors: { x: 'in', figures: 'in:float64', y: 'out' },
  args: {
    count: 'i32',
    along: oneOf('nothing', 'entry', 'direction'),
    /** of the entry */
    index: 'i32',
    step: 'f64',
    seed: 'u32',
  },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ flops: 2 * a.count, nanoseconds: a.count * MOVED[p] }),
  shared: true,
})

/** slope [1] = Σ g·u over the finite elements of x, u the direction of the seed, of length 1. One unit. */
export const alongDirection = family.define('alongDirection', {
  tensors: { x: 'in', gradient: 'in', slope: 'out:float64' },
  args: { count: 'i32', seed: 'u32' },
  units: () => 1,
  cost: (a, { precision: p }) => ({ flops: 3 * a.count, nanoseconds: a.count * MOVED[p] }),
  shared: true,
})

/**
 * value [LOSS_COUNT]: scalars[0] + Σ output·gradOutput + Σ weights·gradWeights + Σ logsumexp·gradLogsumexp, each pair there or not, and
 * the sum of the absolute values. Rows of logsumexp [batch, heads, queries] from qLengths on, or that are not finite, are left out. One unit.
 */
export const lossValue = family.define('lossValue', {
  tensors: {
    scalars: 'in?:float64',
    output: 'in?',
    gradOutput: 'in?',
    weights: 'in?',
    gradWeights: 'in?',
    logsumexp: 'in?:float64',
    gradLogsumexp: 'in?',
    qLengths: 'in?:int32',
    value: 'out:float64',
  },
  args: { heads: 'i32', queries: 'i32', terms: 'i32' },
  units: () => 1,
  cost: (a, { precision: p }) => ({ flops: 2 * a.terms, nanoseconds: a.terms * SUMMED[p] }),
  shared: true,
})

export type SizeTensors = Tensors<typeof tensorSize>
export type SizeArgs = Args<typeof tensorSize>
export type MoveTensors = Tensors<typeof moveElements>
export type MoveArgs = Args<typeof moveElements>
export type SlopeTensors = Tensors<typeof alongDirection>
export type SlopeArgs = Args<typeof alongDirection>
export type LossTensors = Tensors<typeof lossValue>
export type LossArgs = Args<typeof lossValue>
