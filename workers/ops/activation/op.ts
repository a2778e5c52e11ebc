/** The functions between the two products of a feed-forward layer, element by element. */
import { type Args, defineArgs, defineFamily, oneOf, price } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

export { ELEMENT_BLOCK }

/** Rough operations per element. */
const FLOPS = 30
/** An element, forward; backward takes twice as long. */
const ELEMENT = {
  relu: price(0.08, 2),
  gelu: price(2, 20),
  gelu_tanh: price(1.5, 20),
  silu: price(0.9, 8),
  swiglu: price(0.9, 8),
  geglu: price(2, 20),
  geglu_tanh: price(1.5, 20),
  quick_gelu: price(0.9, 8),
}

const family = defineFamily('activation')

const args = defineArgs({
  kind: oneOf('relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu', 'geglu', 'geglu_tanh', 'quick_gelu'),
  count: 'i32',
})

/** y = f(x), or f(gate) ⊙ x for the gated ones. Unit = ELEMENT_BLOCK elements. */
export const activationForward = family.define('activationForward', {
  tensors: { x: 'in', gate: 'in?', y: 'out' },
  args,
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ flops: a.count * FLOPS, nanoseconds: a.count * ELEMENT[a.kind][p] }),
})

/** gradX = f′(x) ⊙ gradY; gated: gradX = f(gate) ⊙ gradY and gradGate = f′(gate) ⊙ x ⊙ gradY. */
export const activationBackward = family.define('activationBackward', {
  tensors: { x: 'in', gate: 'in?', gradY: 'in', gradX: 'out', gradGate: 'out?' },
  args,
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({
    flops: a.count * 2 * FLOPS,
    nanoseconds: a.count * 2 * ELEMENT[a.kind][p],
  }),
})

export type ActivationArgs = Args<typeof activationForward>
export type ActivationKind = ActivationArgs['kind']

/** Those that scale x with a function of a gate. */
export const GATED: ReadonlySet<ActivationKind> = new Set(['swiglu', 'geglu', 'geglu_tanh'])
