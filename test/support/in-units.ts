import { expect } from 'vitest'

/** In what nobody has written; NaN may be written, and then it counts. */
const UNTOUCHED = 1.2345e-99

/**
 * The tensor of `length` elements that the units write, each run by itself; none may write what another has written, nor
 * anything behind the end.
 */
export function inUnits(
  length: number,
  units: number,
  run: (into: Float64Array, unit: number) => void,
): Float64Array {
  const whole = new Float64Array(length).fill(UNTOUCHED)
  let wrong = 0
  for (let unit = 0; unit < units; unit++) {
    const own = new Float64Array(length + 8).fill(UNTOUCHED)
    run(own, unit)
    own.forEach((value, i) => {
      if (value === UNTOUCHED) return
      if (whole[i] !== UNTOUCHED) wrong++
      whole[i] = value
    })
  }
  expect(wrong, 'elements written twice, or behind the end').toBe(0)
  return whole
}
