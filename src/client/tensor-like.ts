/** What may stand where a request has a tensor. */
import type { Nested, Tensor } from './tensor.ts'

export type { Tensor } from './tensor.ts'

/** Nested arrays and the forms of JSON go as they are; they are for small tensors. */
export type TensorLike =
  | Tensor
  | Nested
  | { shape: number[]; dtype?: string; data: (number | boolean | string)[] }
  | { shape: number[]; dtype: string; base64: string }
