import { expect } from 'vitest'

/**
 * The tensor of `length` elements that the units write, each run by itself; none may write what another has written, nor
 * anything behind the end. What no unit has written is NaN.
 */
export function inUnits(
  length: number,
  units: number,
  run: (into: Float64Array, unit: number) => void,
): Float64Array {
  const whole = new Float64Array(length).fill(Number.NaN)
  let wrong = 0
  for (let unit = 0; unit < units; unit++) {
    const own = new Float64Array(length + 8).fill(Number.NaN)
    run(own, unit)
    own.forEach((value, i) => {
      if (Number.isNaN(value)) return
      if (!Number.isNaN(whole[i])) wrong++
      whole[i] = value
    })
  }
  expect(wrong, 'elements written twice, or behind the end').toBe(0)
  return whole
}
