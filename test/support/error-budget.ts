/** What an error is measured by when float32 results are held against float64 ones. */

const ROUNDING = 2 ** -24

/** Σ of squared differences where the truth is finite; elsewhere the two must agree exactly. */
export function squaredError(computed: ArrayLike<number>, truth: ArrayLike<number>): number {
  let sum = 0
  for (let index = 0; index < truth.length; index++) {
    if (Object.is(computed[index], truth[index])) continue
    sum += (computed[index] - truth[index]) ** 2
  }
  return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : sum
}

/** What rounding the truth to float32 costs: uniform in half a unit of the last place of the largest element. */
export function squaredRounding(truth: ArrayLike<number>): number {
  let most = 0
  for (let index = 0; index < truth.length; index++) {
    if (Number.isFinite(truth[index])) most = Math.max(most, Math.abs(truth[index]))
  }
  return (truth.length * (ROUNDING * most) ** 2) / 3
}
