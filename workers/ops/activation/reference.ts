/** The functions between the two products of a feed-forward layer, element by element. */
import type { Reals, Tensors } from '../define-op.ts'
import { normalCumulative } from './error-function.ts'
import type * as op from './op.ts'
import { type ActivationArgs, type ActivationKind, ELEMENT_BLOCK } from './op.ts'

/** √(2/π) and the cubic coefficient of the tanh form of GELU. */
const SQRT_2_OVER_PI = 0.7978845608028654
const CUBIC = 0.044715
/** The factor of the sigmoid form. */
const QUICK = 1.702

/**
 *   relu        max(0, x)
 *   gelu        x·Φ(x), Φ the normal distribution's cumulative function
 *   gelu_tanh   ½·x·(1 + tanh u) = x·σ(2u), u = √(2/π)·(x + 0.044715·x³)
 *   silu        x·σ(x), σ(x) = 1/(1 + e^(−x))
 *   quick_gelu  x·σ(1.702·x)
 *   swiglu      silu(gate) ⊙ x;  geglu, geglu_tanh: the same with gelu, gelu_tanh
 *
 * Hazards: 1 + tanh u and 1 + erf cancel for x < 0: the sigmoid and erfc stand in their place. −∞·0 is NaN where the limit
 * is 0: a factor that is 0 gives 0. A unit is ELEMENT_BLOCK elements of x, y [count]; writes y.
 * Sources: Hendrycks and Gimpel 2016 (GELU, its tanh form and its sigmoid form); Elfwing et al. 2017 (SiLU); Shazeer 2020
 * (SwiGLU, GEGLU).
 */
export function activationForward(
  t: Tensors<typeof op.activationForward>,
  a: ActivationArgs,
  from: number,
  to: number,
): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  const { value, gated } = functions[a.kind]
  if (gated) {
    const gate = gateOf(t.gate)
    for (let i = from * ELEMENT_BLOCK; i < end; i++) t.y[i] = value(gate[i]) * t.x[i]
    return
  }
  for (let i = from * ELEMENT_BLOCK; i < end; i++) t.y[i] = value(t.x[i])
}

/**
 * Differentiates activationForward:
 *
 *   gradX = f′(x) ⊙ gradY;  gated: gradX = f(gate) ⊙ gradY, gradGate = f′(gate) ⊙ x ⊙ gradY
 *
 * relu′(0) = 0. Hazard: padding has gradY = 0, but its x may be NaN: 0 gives 0. Writes gradX and, where
 * there is a gate, gradGate.
 */
export function activationBackward(
  t: Tensors<typeof op.activationBackward>,
  a: ActivationArgs,
  from: number,
  to: number,
): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  const { value, slope, gated } = functions[a.kind]
  if (gated) {
    const gate = gateOf(t.gate)
    for (let i = from * ELEMENT_BLOCK; i < end; i++) {
      const g = t.gradY[i]
      t.gradX[i] = g === 0 ? 0 : value(gate[i]) * g
      if (t.gradGate) t.gradGate[i] = g === 0 ? 0 : slope(gate[i]) * t.x[i] * g
    }
    return
  }
  for (let i = from * ELEMENT_BLOCK; i < end; i++) {
    t.gradX[i] = t.gradY[i] === 0 ? 0 : slope(t.x[i]) * t.gradY[i]
  }
}

interface Activation {
  value(x: number): number
  slope(x: number): number
  /** the function is of the gate, which it then scales x with */
  gated?: true
}

const relu: Activation = {
  value: x => Math.max(0, x),
  slope: x => (x > 0 ? 1 : x <= 0 ? 0 : x),
}

const gelu: Activation = {
  value: x => times(x, normalCumulative(x)),
  slope: x => normalCumulative(x) + times(x, Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)),
}

const geluTanh: Activation = {
  value: x => times(x, sigmoid(2 * SQRT_2_OVER_PI * (x + CUBIC * x ** 3))),
  slope: x => {
    const u = SQRT_2_OVER_PI * (x + CUBIC * x ** 3)
    const slopeOfU = SQRT_2_OVER_PI * (1 + 3 * CUBIC * x * x)
    return sigmoid(2 * u) + times(2 * x * slopeOfU, sigmoid(2 * u) * sigmoid(-2 * u))
  },
}

const silu: Activation = {
  value: x => times(x, sigmoid(x)),
  slope: x => sigmoid(x) + times(x, sigmoid(x) * sigmoid(-x)),
}

const quickGelu: Activation = {
  value: x => times(x, sigmoid(QUICK * x)),
  slope: x => sigmoid(QUICK * x) + times(QUICK * x, sigmoid(QUICK * x) * sigmoid(-QUICK * x)),
}

const functions: Record<ActivationKind, Activation> = {
  relu,
  gelu,
  gelu_tanh: geluTanh,
  silu,
  quick_gelu: quickGelu,
  swiglu: { ...silu, gated: true },
  geglu: { ...gelu, gated: true },
  geglu_tanh: { ...geluTanh, gated: true },
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** x·factor, 0 where the factor is 0 even if x is infinite. */
function times(x: number, factor: number): number {
  return factor === 0 ? 0 : x * factor
}

function gateOf(gate: Reals | undefined): Reals {
  if (gate === undefined) throw new Error('a gated activation needs a gate')
  return gate
}
