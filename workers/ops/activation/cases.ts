import * as fc from 'fast-check'
import { given, type OpCase, plainOutputs, randomTensors, withNaN } from '../../../test/support/op-case.ts'
import { normalCumulative } from './error-function.ts'
import {
  type ActivationArgs,
  type ActivationKind,
  activationBackward,
  activationForward,
  ELEMENT_BLOCK,
} from './op.ts'

export interface ActivationSpec extends ActivationArgs {
  backward: boolean
  /** standard deviation of x and gate */
  magnitude: number
  /** backward: an element whose gradY is zero */
  unread: number | undefined
  seed: number
}

/** The function of each, and whether it is of a gate. */
const kinds: Record<ActivationKind, [name: keyof typeof values, gated: boolean]> = {
  relu: ['relu', false],
  gelu: ['gelu', false],
  gelu_tanh: ['gelu_tanh', false],
  silu: ['silu', false],
  quick_gelu: ['quick_gelu', false],
  swiglu: ['silu', true],
  geglu: ['gelu', true],
  geglu_tanh: ['gelu_tanh', true],
}
const sizes = (...values: number[]) => fc.constantFrom(...values)

export const activationSpecs: fc.Arbitrary<ActivationSpec> = fc.record({
  backward: fc.boolean(),
  kind: fc.constantFrom(...(Object.keys(kinds) as ActivationKind[])),
  count: sizes(1, 3, 7, 17, 111, ELEMENT_BLOCK - 1, ELEMENT_BLOCK + 1, 2 * ELEMENT_BLOCK + 17),
  magnitude: sizes(1, 1, 0.01, 5),
  unread: fc.option(fc.nat(), { nil: undefined }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

export function activationCase(spec: ActivationSpec): OpCase {
  const { kind, count, magnitude } = spec
  const gated = kinds[kind][1]
  const random = randomTensors(spec.seed)
  const x = random(count, magnitude)
  const gate = gated && random(count, magnitude)
  const common = { args: { kind, count }, again: (seed: number) => activationCase({ ...spec, seed }) }
  if (!spec.backward) {
    const c: OpCase = { ...common, op: activationForward, inputs: given({ x, gate }), outputs: { y: count } }
    return { ...c, plain: () => plainActivation(c) }
  }
  const gradY = random(count)
  const at = (spec.unread ?? 0) % count
  if (spec.unread !== undefined) gradY[at] = 0
  const inputs = given({ x, gate, gradY })
  const outputs = given({ gradX: count, gradGate: gated && count })
  const places: Record<string, [number, number][]> = { x: [[at, at + 1]], gate: [[at, at + 1]] }
  const hidden = spec.unread === undefined ? undefined : withNaN(inputs, places)
  const c: OpCase = { ...common, op: activationBackward, inputs, outputs, hidden }
  return { ...c, plain: () => plainActivation(c) }
}

const f = Math.fround
const ROOT = f(Math.sqrt(2 / Math.PI))
const CUBIC = f(0.044715)
const QUICK = f(1.702)
const sigmoid = (x: number) => f(1 / f(1 + f(Math.exp(-x))))
const cumulative = (x: number) =>
  f(0.5 * f(1 + f(2 * normalCumulative(f(x * f(Math.SQRT1_2)) * Math.SQRT2) - 1)))
const density = (x: number) => f(f(Math.exp(f(-0.5 * f(x * x)))) * f(1 / Math.sqrt(2 * Math.PI)))
const inner = (x: number) => f(ROOT * f(x + f(CUBIC * f(f(x * x) * x))))
/** Of x·σ(factor·x). */
const sigmoidSlope = (x: number, factor: number) => {
  const v = f(factor * x)
  return f(sigmoid(v) * f(1 + f(v * f(1 - sigmoid(v)))))
}

const values = {
  relu: (x: number) => Math.max(0, x),
  gelu: (x: number) => f(x * cumulative(x)),
  gelu_tanh: (x: number) => f(f(0.5 * x) * f(1 + f(Math.tanh(inner(x))))),
  silu: (x: number) => f(x * sigmoid(x)),
  quick_gelu: (x: number) => f(x * sigmoid(f(QUICK * x))),
}
const slopes: typeof values = {
  relu: x => (x > 0 ? 1 : 0),
  gelu: x => f(cumulative(x) + f(x * density(x))),
  gelu_tanh: x => {
    const t = f(Math.tanh(inner(x)))
    const slope = f(ROOT * f(1 + f(f(3 * CUBIC) * f(x * x))))
    return f(f(0.5 * f(1 + t)) + f(f(f(0.5 * x) * f(1 - f(t * t))) * slope))
  },
  silu: x => sigmoidSlope(x, 1),
  quick_gelu: x => sigmoidSlope(x, QUICK),
}

function plainActivation(c: OpCase): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { kind, count } = c.args as ActivationArgs
  const { x, gate, gradY } = c.inputs
  const [name, gated] = kinds[kind]
  for (let i = 0; i < count; i++) {
    if (gated) {
      const value = values[name](gate[i])
      if (out.y) out.y[i] = f(value * x[i])
      if (out.gradX) out.gradX[i] = f(value * gradY[i])
      if (out.gradGate) out.gradGate[i] = f(f(slopes[name](gate[i]) * x[i]) * gradY[i])
    } else if (out.y) {
      out.y[i] = values[name](x[i])
    } else {
      out.gradX[i] = f(slopes[name](x[i]) * gradY[i])
    }
  }
  return out
}

export const cases = activationSpecs.map(activationCase)

const x = new Float64Array(0)
const nothing: ActivationArgs = { kind: 'gelu', count: 0 }
export const empty: OpCase[] = [
  { op: activationForward, args: nothing, inputs: { x }, outputs: { y: 0 } },
  { op: activationBackward, args: nothing, inputs: { x, gradY: x }, outputs: { gradX: 0 } },
]
