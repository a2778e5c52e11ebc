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
    const lossAt = (moved: number) => {
      x[at] = moved
      return loss()
    }
    // of fourth order: near 0 a norm of one element bends within √eps
    const near = lossAt(value + STEP) - lossAt(value - STEP)
    const far = lossAt(value + 2 * STEP) - lossAt(value - 2 * STEP)
    x[at] = value
    const difference = (8 * near - far) / (12 * STEP)
    const error = Math.abs(difference - gradient[at]) / largest
    const message = `${name}[${at}]: ${gradient[at]} by formula, ${difference} by differences`
    expect(error, message).toBeLessThan(TOLERANCE)
  }
}

export { expectClose, expectDifferences, inner } from './differences.ts'
