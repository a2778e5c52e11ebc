/** What a mask is: fields of a request, and the keys that they let a query row attend to. */
import type * as z from 'zod'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'

export interface Mask<F extends z.ZodRawShape = z.ZodRawShape> {
  /** members of the request, each optional or with a default */
  fields(tensors: TensorKinds): F
  /**
   * the interval of keys; asked only where the request sets one of the fields. `past`: how many of the keys come before the new
   * ones
   */
  rows(options: Partial<z.output<z.ZodObject<F>>>, past: number): RowMask | undefined
}

/** Checks a mask, and lets `rows` know the types of its own fields. */
export function defineMask<const F extends z.ZodRawShape>(mask: Mask<F>): Mask<F> {
  return mask
}
