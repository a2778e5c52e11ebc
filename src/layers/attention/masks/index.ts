/** The listed masks, and what they add to a request. */
import type * as z from 'zod'
import { type TensorKinds, tensorKinds } from '../../../formats/tensor-fields.ts'
import * as list from './list.ts'
import type { Mask } from './mask.ts'

type Listed = (typeof list)[keyof typeof list]
type Intersection<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void
  ? I
  : never
/** The fields of all masks. */
export type MaskFields = Intersection<ReturnType<Listed['fields']>>
export type MaskOptions = Partial<{ [N in keyof MaskFields]: z.output<MaskFields[N]> }>

/** Each mask, and the names of its fields. */
export const MASKS = Object.values<Mask>(list).map(mask => ({
  mask,
  names: Object.keys(mask.fields(tensorKinds(false))),
}))

export function maskFields(tensors: TensorKinds): MaskFields {
  return Object.assign({}, ...MASKS.map(({ mask }) => mask.fields(tensors)))
}
