/**
 * What the kernels of layers are asked to do: products with weights, norms, activations, sums, tables, parameters.
 * Part of the contract between the threads, like task.ts: data only.
 */

/** Rows × columns of the result that are one unit of a product with a weight matrix. */
export const PRODUCT_ROWS = 48
export const PRODUCT_COLUMNS = 512

/** Units of a product whose result has so many rows and columns. */
export function productUnits(rows: number, columns: number): number {
  return Math.ceil(rows / PRODUCT_ROWS) * Math.ceil(columns / PRODUCT_COLUMNS)
}

/** Rows of one unit of `normBackward`. */
export const NORM_ROWS = 32

/** Elements of one unit of the elementwise kernels. */
export const ELEMENT_BLOCK = 4096

/** Columns of one unit of `columnSums`. */
export const COLUMN_BLOCK = 64

/**
 * y = x·W + b for batch·positions rows. A side may stand split into heads, as attention reads it: x is
 * [batch, headsIn, positions, dimIn/headsIn], y is [batch, headsOut, positions, dimOut/headsOut]; with one head that is
 * the plain [batch, positions, dim]. Column c of a row is element c mod width of head ⌊c/width⌋.
 */
export interface LinearArgs {
  batch: number
  positions: number
  dimIn: number
  dimOut: number
  headsIn: number
  headsOut: number
  /** x may hold NaN or ∞ where gradY is 0 (padding): `linearBackwardWeight` must then skip rows whose gradY is all zero */
  careful: boolean
}

/** y[head·width + j] = Σ over batch and positions of x[batch, head, position, j]. */
export interface ColumnSumsArgs {
  batch: number
  heads: number
  positions: number
  width: number
}

/** Rows of length `dim`: `layer` x̂ = (x − mean)/√(var + eps), var = mean((x − mean)²); `rms` x̂ = x/√(mean(x²) + eps). */
export interface NormArgs {
  rows: number
  dim: number
  kind: 'layer' | 'rms'
  eps: number
}

export type ActivationKind = 'relu' | 'gelu' | 'gelu_tanh' | 'silu' | 'swiglu'

export interface ActivationArgs {
  kind: ActivationKind
  count: number
}

/** y[i] = a[i] + b[i mod period]; period = count adds two tensors, a smaller one repeats b. */
export interface AddArgs {
  count: number
  period: number
}

/** Dropout of elements of rows, by the generator of attention's dropout: element j of row r. */
export interface DropoutRowsArgs {
  rows: number
  dim: number
  p: number
  seedLow: number
  seedHigh: number
}

/** PE(position, 2j) = sin((position + offset)/base^(2j/dim)), PE(position, 2j + 1) = cos of the same. */
export interface SinusoidalArgs {
  positions: number
  dim: number
  base: number
  offset: number
}

/** bias[h, i, j] = −slopes[h]·|i − j|, [heads, queries, keys]. */
export interface AlibiBiasArgs {
  heads: number
  queries: number
  keys: number
}

/** Random parameters; `initialise.ts` documents the generator. Element i depends on (seed, stream, i) alone. */
export interface InitialiseArgs {
  count: number
  /** uniform in [−scale, scale), normal with standard deviation scale, or `scale` itself */
  distribution: 'uniform' | 'normal' | 'constant'
  scale: number
  seedLow: number
  seedHigh: number
  /** which tensor of the request: a number per parameter, so that no two share random bits */
  stream: number
}

/** Rows [batch, positions, dim], those of a batch from its length on being padding. */
export interface MaskRowsArgs {
  batch: number
  positions: number
  dim: number
}

/** Keys of the past before the new ones: y = [past ‖ x] along positions, per (batch, head). */
export interface ConcatArgs {
  /** batch·heads */
  heads: number
  past: number
  positions: number
  dim: number
}
