/** Comparisons that need no kernels: of numbers, and of gradients with central differences. */
import { expect } from 'vitest'

/** The same numbers; of many it shows just the first that differs, where a full comparison would print for half a minute. */
export function expectSame(computed: ArrayLike<number>, right: ArrayLike<number>): void {
  expect(computed.length).toBe(right.length)
  for (let i = 0; i < right.length; i++) {
    if (!Object.is(computed[i], right[i])) expect(computed[i], `element ${i}`).toBe(right[i])
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
