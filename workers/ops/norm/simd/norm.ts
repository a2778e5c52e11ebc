/**
 * Normalisation of rows with a gain and an offset, x, y [rows, dim]:
 *
 *   layer:  x̂ = (x − μ)/r, μ = mean(x), r = √(mean((x − μ)²) + eps)        rms:  x̂ = x/r, r = √(mean(x²) + eps)
 *   y = x̂·gamma + beta
 *
 * and backward, with g = gradY·gamma (m(…) a mean over the row; m(g) only for layer):
 *
 *   gradX = (g − m(g) − x̂·m(g·x̂))/r + residual        partialGamma = Σ gradY·x̂        partialBeta = Σ gradY
 *
 * Hazards: x − μ and g − m(g) − x̂·m(g·x̂) cancel, and squares overflow. Remedy: everything up to the rounding of y and gradX is
 * float64, which costs little where memory is what a row waits for. A row whose gradY is all zero passes its residual on (or 0) and
 * adds nothing, even where x is NaN.
 */
import { Call, KIND_LAYER, NORM_ROWS } from '../../../wasm/generated/norm'
import { high, low, narrow } from '../../../wasm/assembly/doubles'
import { gradientAlong, gradientRow, gradientSum, isZero, scaleRow, squaresOf, sumOf } from '../../../wasm/assembly/norm-rows'

export function normForward(call: Call, from: i32, to: i32): void {
  const x = call.x
  const dim = call.dim
  const layer = call.kind == KIND_LAYER
  const row = <usize>dim << 2
  for (let r = from; r < to; ++r) {
    const at = <usize>r * row
    const mean = layer ? sumOf(x + at, dim) / <f64>dim : 0
    const inverse = 1 / Math.sqrt(squaresOf(x + at, dim, mean) / <f64>dim + call.eps)
    scaleRow(x + at, call.gamma, call.beta, call.y + at, dim, mean, inverse)
  }
}

export function normBackward(call: Call, from: i32, to: i32): void {
  const x = call.x
  const gamma = call.gamma
  const gradY = call.gradY
  const gradX = call.gradX
  const dim = call.dim
  const layer = call.kind == KIND_LAYER
  const row = <usize>dim << 2
  for (let unit = from; unit < to; ++unit) {
    const gammaSums = call.partialGamma ? call.partialGamma + <usize>unit * row : 0
    const betaSums = call.partialBeta ? call.partialBeta + <usize>unit * row : 0
    if (gammaSums) memory.fill(gammaSums, 0, row)
    if (betaSums) memory.fill(betaSums, 0, row)
    const end = min((unit + 1) * NORM_ROWS, call.rows)
    for (let r = unit * NORM_ROWS; r < end; ++r) {
      const at = <usize>r * row
      const rest = call.residual ? call.residual + at : 0
      if (isZero(gradY + at, dim)) {
        if (rest) memory.copy(gradX + at, rest, row)
        else memory.fill(gradX + at, 0, row)
        continue
      }
      const mean = layer ? sumOf(x + at, dim) / <f64>dim : 0
      const inverse = 1 / Math.sqrt(squaresOf(x + at, dim, mean) / <f64>dim + call.eps)
      if (gammaSums) addProducts(x + at, gradY + at, gammaSums, dim, mean, inverse)
      if (betaSums) addRow(gradY + at, betaSums, dim)
      const meanGradient = layer ? gradientSum(gamma, gradY + at, dim) / <f64>dim : 0
      const along = gradientAlong(x + at, gamma, gradY + at, dim, mean, inverse) / <f64>dim
      gradientRow(x + at, gamma, gradY + at, rest, gradX + at, dim, mean, inverse, meanGradient, along)
    }
  }
}

/** sums += gradY·x̂ */
function addProducts(x: usize, gradY: usize, sums: usize, dim: i32, mean: f64, inverse: f64): void {
  const mu = f64x2.splat(mean)
  const factor = f64x2.splat(inverse)
  let d: usize = 0
  const end = <usize>dim << 2
  for (; d + 16 <= end; d += 16) {
    const v = v128.load(x + d)
    const u = narrow(f64x2.mul(f64x2.sub(low(v), mu), factor), f64x2.mul(f64x2.sub(high(v), mu), factor))
    v128.store(sums + d, f32x4.add(v128.load(sums + d), f32x4.mul(v128.load(gradY + d), u)))
  }
  for (; d < end; d += 4) {
    const u = <f32>((<f64>load<f32>(x + d) - mean) * inverse)
    store<f32>(sums + d, load<f32>(sums + d) + load<f32>(gradY + d) * u)
  }
}

/** sums += x */
function addRow(x: usize, sums: usize, dim: i32): void {
  let d: usize = 0
  const end = <usize>dim << 2
  for (; d + 16 <= end; d += 16) v128.store(sums + d, f32x4.add(v128.load(sums + d), v128.load(x + d)))
  for (; d < end; d += 4) store<f32>(sums + d, load<f32>(sums + d) + load<f32>(x + d))
}
