/**
 * Normalisation of query and key rows x, y [rows, dim] before their product:
 *
 *   l2:  y = x/max(‖x‖₂, eps)        rms:  y = x/√(mean(x²) + eps)
 *   gradX = (gradY − y·Σ y·gradY)/r, r the divisor; for rms a mean in place of Σ; for l2 just gradY/r where r is eps
 *
 * The rows' arithmetic, and its float64, is norm-rows.ts's. A row whose gradY is all zero gives zeros, even where x is NaN.
 */
import { gradientAlong, gradientRow, isZero, scaleRow, squaresOf } from '../../../wasm/assembly/norm-rows'
import { Call, KIND_L2 } from '../../../wasm/generated/qk-norm'

/** 1/r; NaN where x holds one. */
function inverseOf(call: Call, x: usize): f64 {
  const dim = call.dim
  const eps = call.eps
  const squares = squaresOf(x, dim, 0)
  return 1 / (call.kind == KIND_L2 ? max<f64>(Math.sqrt(squares), eps) : Math.sqrt(squares / <f64>dim + eps))
}

export function qkNormForward(call: Call, from: i32, to: i32): void {
  const x = call.x
  const dim = call.dim
  const row = <usize>dim << 2
  for (let r = from; r < to; ++r) {
    const at = <usize>r * row
    scaleRow(x + at, 0, 0, call.y + at, dim, 0, inverseOf(call, x + at))
  }
}

export function qkNormBackward(call: Call, from: i32, to: i32): void {
  const x = call.x
  const gradY = call.gradY
  const gradX = call.gradX
  const dim = call.dim
  const row = <usize>dim << 2
  for (let r = from; r < to; ++r) {
    const at = <usize>r * row
    if (isZero(gradY + at, dim)) {
      memory.fill(gradX + at, 0, row)
      continue
    }
    const inverse = inverseOf(call, x + at)
    let along = gradientAlong(x + at, 0, gradY + at, dim, 0, inverse)
    if (call.kind != KIND_L2) along /= <f64>dim
    else if (inverse == 1 / call.eps) along = 0 // the divisor is constant there
    gradientRow(x + at, 0, gradY + at, 0, gradX + at, dim, 0, inverse, 0, along)
  }
}
