/** Random parameters; `kernel.ts` documents the generator. */
import { type Args, defineFamily, oneOf, price } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

/** Rough operations a random element takes. */
const DRAW_FLOPS = 60
const ELEMENT = { constant: price(0.3), uniform: price(12), normal: price(40) }

const family = defineFamily('initialise')

/** Unit = ELEMENT_BLOCK elements. Element i depends on (seed, stream, i) alone. */
export const initialise = family.define('initialise', {
  tensors: { into: 'out' },
  args: {
    count: 'i32',
    /** uniform in [−scale, scale), normal with standard deviation scale, or `scale` itself */
    distribution: oneOf('uniform', 'normal', 'constant'),
    scale: 'f64',
    seedLow: 'u32',
    seedHigh: 'u32',
    /** which tensor of the request: a number per parameter, so that no two share random bits */
    stream: 'i32',
  },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { units, precision: p }) => ({
    flops: units * ELEMENT_BLOCK * (a.distribution === 'constant' ? 1 : DRAW_FLOPS),
    nanoseconds: a.count * ELEMENT[a.distribution][p],
  }),
  shared: true,
})

export type InitialiseArgs = Args<typeof initialise>
