/**
 * The normal distribution's cumulative function in float64.
 *
 *   Φ(x) = ½·erfc(−x/√2)
 *   erf z = 2/√π·e^(−z²)·Σ_n 2ⁿ·z^(2n+1)/(1·3·…·(2n+1))                      |z| < 1.5
 *   erfc z = e^(−z²)/√π / (z + (1/2)/(z + (2/2)/(z + (3/2)/(z + …))))        z ≥ 1.5
 *
 * Hazard: 1 − erf z cancels for large z: from 1.5 on, where 1.5 bits are lost, erfc is computed by itself. The series has
 * positive terms only. Both are taken as far as they change a float64. Relative error below 2e-15 for |z| < 5; beyond, that of
 * e^(−z²), about z² roundings.
 * Source: Abramowitz and Stegun, 7.1.6 and 7.1.14.
 */
export function normalCumulative(x: number): number {
  const z = Math.abs(x) * Math.SQRT1_2
  if (z < 1.5) return 0.5 + Math.sign(x) * 0.5 * erfBySeries(z)
  const upper = 0.5 * erfcByFraction(z)
  return x < 0 ? upper : 1 - upper
}

function erfBySeries(z: number): number {
  const square = z * z
  let term = z
  let sum = z
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * square) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-square) * sum
}

function erfcByFraction(z: number): number {
  let denominator = z
  for (let n = Math.ceil(20 + 140 / (z * z)); n > 0; n--) denominator = z + n / 2 / denominator
  return Math.exp(-z * z) / Math.sqrt(Math.PI) / denominator
}
