/** Parts of a request's tensors: what is read is the whole, what is computed with is the part. */
import { product, type TensorSource } from '../../formats/tensor.ts'

interface Slice {
  whole: TensorSource
  /** elements before it */
  start: number
}

const SLICES = new WeakMap<TensorSource, Slice>()

export function sliceOf(whole: TensorSource, start: number, shape: number[]): TensorSource {
  const part = { ...whole, shape, count: product(shape) }
  SLICES.set(part, { whole, start })
  return part
}

/** undefined where it is no part of another. */
export function wholeOf(source: TensorSource): Slice | undefined {
  return SLICES.get(source)
}
