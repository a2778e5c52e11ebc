/** How far an approximation's output is from exact attention's. */
import { defineArgs, defineFamily } from '../define-op.ts'

const ELEMENT_FLOPS = 5
const PARTIAL_FLOPS = 4

const family = defineFamily('output-error')

const args = defineArgs({ batch: 'i32', heads: 'i32', queries: 'i32', dimV: 'i32' })

/**
 * partials [batch·heads, 4] = (largest difference, Σ difference², Σ exact², elements), padding rows left out.
 * Unit = one (batch, head).
 */
export const outputError = family.define('outputError', {
  tensors: { output: 'in', exact: 'in', qLengths: 'in?:int32', partials: 'out:float64' },
  args,
  units: a => a.batch * a.heads,
  cost: (a, { units }) => ({ flops: units * ELEMENT_FLOPS * a.queries * a.dimV }),
  shared: true,
})

/** errors [3] = (largest, root mean square, relative to the exact output's norm). One unit. */
export const outputErrorTotal = family.define('outputErrorTotal', {
  tensors: { partials: 'in:float64', errors: 'out:float64' },
  args,
  units: () => 1,
  cost: a => ({ flops: PARTIAL_FLOPS * a.batch * a.heads }),
  shared: true,
})
