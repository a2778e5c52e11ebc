/** How far an approximation's output is from exact attention's. */
import { defineArgs, defineFamily, price } from '../define-op.ts'

const ELEMENT_FLOPS = 5
const PARTIAL_FLOPS = 4

const COMPARED = price(1.5, 2.5)
const SUMMED = price(5)

const family = defineFamily('output-error')

const args = defineArgs({
  batch: 'i32',
  heads: 'i32',
  queries: 'i32',
  dimV: 'i32',
  /** both outputs are [batch, queries, heads, dimV] */
  positionsFirst: 'flag?',
})

/**
 * partials [batch·heads, 4] = (largest difference, Σ difference², Σ exact², elements), padding rows left out.
 * Unit = one (batch, head).
 */
export const outputError = family.define('outputError', {
  tensors: { output: 'in', exact: 'in', qLengths: 'in?:int32', partials: 'out:float64' },
  args,
  units: a => a.batch * a.heads,
  cost: (a, { units, precision: p }) => {
    const elements = units * a.queries * a.dimV
    return { flops: elements * ELEMENT_FLOPS, nanoseconds: elements * COMPARED[p] }
  },
  shared: true,
})

/** errors [3] = (largest, root mean square, relative to the exact output's norm). One unit. */
export const outputErrorTotal = family.define('outputErrorTotal', {
  tensors: { partials: 'in:float64', errors: 'out:float64' },
  args,
  units: () => 1,
  cost: (a, { precision: p }) => {
    const heads = a.batch * a.heads
    return { flops: heads * PARTIAL_FLOPS, nanoseconds: heads * SUMMED[p] }
  },
  shared: true,
})
