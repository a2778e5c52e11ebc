/** Gradients held against central differences, in float64. */
import { expect } from 'vitest'
import type { OpCase } from './op-case.ts'
import { truthOf } from './op-runner.ts'

const STEP = 1e-5
const TOLERANCE = 1e-6

/** `gradient` of L = Σ gradY·y by the input `name` of a forward case. */
export function expectGradient(
  forward: OpCase,
  gradY: ArrayLike<number>,
  name: string,
  gradient: ArrayLike<number>,
  picks: number[],
): void {
  const loss = () => truthOf(forward).y.reduce((sum, value, i) => sum + value * gradY[i], 0)
  const x = forward.inputs[name]
  const largest = Array.from(gradient).reduce((most, g) => Math.max(most, Math.abs(g)), 1e-3)
  for (const pick of picks) {
    const at = pick % x.length
    const value = x[at]
    x[at] = value + STEP
    const above = loss()
    x[at] = value - STEP
    const below = loss()
    x[at] = value
    const difference = (above - below) / (2 * STEP)
    const error = Math.abs(difference - gradient[at]) / largest
    const message = `${name}[${at}]: ${gradient[at]} by formula, ${difference} by differences`
    expect(error, message).toBeLessThan(TOLERANCE)
  }
}

/** Equal to 12 digits of the largest. */
export function expectClose(computed: ArrayLike<number>, right: ArrayLike<number>): void {
  expect(computed.length).toBe(right.length)
  const largest = Array.from(right).reduce((most, value) => Math.max(most, Math.abs(value)), 1)
  for (let i = 0; i < right.length; i++) {
    expect(Math.abs(computed[i] - right[i]), `element ${i}`).toBeLessThan(1e-12 * largest)
  }
}

export const inner = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i], 0)

/** Central differences of Σ w·f(x) against a gradient. */
export function expectDifferences(
  f: (x: Float64Array) => Float64Array,
  x: Float64Array,
  w: Float64Array,
  gradient: Float64Array,
  step = 1e-6,
) {
  const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 1e-6)
  for (let i = 0; i < x.length; i++) {
    const value = x[i]
    x[i] = value + step
    const above = inner(w, f(x))
    x[i] = value - step
    const below = inner(w, f(x))
    x[i] = value
    expect(Math.abs((above - below) / (2 * step) - gradient[i]) / largest).toBeLessThan(1e-6)
  }
}
