/**
 * The kernels that layers are made of beside attention itself. Same rules as in kernel-set.ts: a kernel works on a range
 * of units [from, to), writes only what those units own and every element of it, and the order of every sum depends on
 * the sizes alone, never on how the range was cut.
 *
 * Backward kernels of elementwise functions and norms give exactly 0 wherever all of the gradient that reaches them
 * (the element, or the row) is 0, even where x is NaN: padding leaks nothing.
 */
import type {
  ActivationArgs,
  AddArgs,
  AlibiBiasArgs,
  ColumnSumsArgs,
  ConcatArgs,
  DropoutRowsArgs,
  InitialiseArgs,
  LinearArgs,
  MaskRowsArgs,
  NormArgs,
  SinusoidalArgs,
} from '../layer-args.ts'
import type { Reals } from './kernel-set.ts'

export interface LayerKernels {
  /**
   * y = x·W + bias + residual (both optional). weight [dimIn, dimOut], bias [dimOut], residual laid out like y.
   * Units: productUnits(batch·positions, dimOut), numbered column block by column block:
   * unit = columnBlock·⌈rows/PRODUCT_ROWS⌉ + rowBlock; all independent.
   */
  linearForward(
    t: { x: Reals; weight: Reals; bias?: Reals; residual?: Reals; y: Reals },
    a: LinearArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** gradX = gradY·Wᵀ + residual (optional, laid out like x). Units: productUnits(batch·positions, dimIn), as above. */
  linearBackwardInput(
    t: { gradY: Reals; weight: Reals; residual?: Reals; gradX: Reals },
    a: LinearArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** gradWeight = xᵀ·gradY [dimIn, dimOut], summed over the rows. Units: productUnits(dimIn, dimOut), as above. */
  linearBackwardWeight(
    t: { x: Reals; gradY: Reals; gradWeight: Reals },
    a: LinearArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** Unit = COLUMN_BLOCK columns of y [heads·width]. Gradients of biases, and the sum over a norm's partials. */
  columnSums(t: { x: Reals; y: Reals }, a: ColumnSumsArgs, from: number, to: number): void
  /** y = x̂ ⊙ gamma + beta, each optional [dim]. Unit = row. */
  normForward(
    t: { x: Reals; gamma?: Reals; beta?: Reals; y: Reals },
    a: NormArgs,
    from: number,
    to: number,
  ): void
  /**
   * gradX = (∂y/∂x)ᵀ·gradY + residual (optional). Unit = NORM_ROWS rows; each writes its row of partialGamma (Σ gradY ⊙ x̂)
   * and partialBeta (Σ gradY), [units, dim], where given.
   */
  normBackward(
    t: {
      x: Reals
      gamma?: Reals
      gradY: Reals
      residual?: Reals
      gradX: Reals
      partialGamma?: Reals
      partialBeta?: Reals
    },
    a: NormArgs,
    from: number,
    to: number,
  ): void
  /** y = f(x), or silu(gate) ⊙ x for swiglu. Unit = ELEMENT_BLOCK elements. */
  activationForward(
    t: { x: Reals; gate?: Reals; y: Reals },
    a: ActivationArgs,
    from: number,
    to: number,
  ): void
  /** gradX = f′(x) ⊙ gradY; for swiglu gradX = silu(gate) ⊙ gradY and gradGate = silu′(gate) ⊙ x ⊙ gradY. */
  activationBackward(
    t: { x: Reals; gate?: Reals; gradY: Reals; gradX: Reals; gradGate?: Reals },
    a: ActivationArgs,
    from: number,
    to: number,
  ): void
  /** y[i] = a[i] + b[i mod period]. Unit = ELEMENT_BLOCK elements. Its own backward: both gradients are gradY. */
  add(t: { a: Reals; b: Reals; y: Reals }, a: AddArgs, from: number, to: number): void
  /** y = z ⊙ x, z = 0 or 1/(1−p). Unit = row. Its own backward: gradX = z ⊙ gradY by the same call. */
  dropoutRows(t: { x: Reals; y: Reals }, a: DropoutRowsArgs, from: number, to: number): void
  /** Unit = position; encoding [positions, dim]. Angles in float64. */
  sinusoidalTable(t: { encoding: Reals }, a: SinusoidalArgs, from: number, to: number): void
  /** bias [heads, queries, keys] from slopes [heads]. Unit = row (head, query). */
  alibiBias(t: { slopes: Reals; bias: Reals }, a: AlibiBiasArgs, from: number, to: number): void
  /** Unit = ELEMENT_BLOCK elements. */
  initialise(t: { into: Reals }, a: InitialiseArgs, from: number, to: number): void
  /** y [heads, past + positions, dim] from past [heads, past, dim] and x [heads, positions, dim]. Unit = head. */
  concatForward(t: { past: Reals; x: Reals; y: Reals }, a: ConcatArgs, from: number, to: number): void
  /** y = x where the row is no padding, else 0. Unit = row. */
  maskRows(t: { x: Reals; lengths: Int32Array; y: Reals }, a: MaskRowsArgs, from: number, to: number): void
  /** The two parts of gradY, each where given. Unit = head. */
  concatBackward(
    t: { gradY: Reals; gradPast?: Reals; gradX?: Reals },
    a: ConcatArgs,
    from: number,
    to: number,
  ): void
}
