/** What the listed masks add to a request, and what they let its rows attend to. */
import type * as z from 'zod'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
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
const MASKS = Object.values<Mask>(list).map(mask => ({
  mask,
  names: Object.keys(mask.fields(tensorKinds(false))),
}))

export function maskFields(tensors: TensorKinds): MaskFields {
  return Object.assign({}, ...MASKS.map(({ mask }) => mask.fields(tensors)))
}

/** Of the masks that a request sets. */
export function rowMasks(options: MaskOptions): RowMask[] {
  const isSet = (name: string) => {
    const value = options[name as keyof MaskOptions]
    return value !== undefined && value !== false
  }
  return MASKS.flatMap(({ mask, names }) => (names.some(isSet) ? (mask.rows(options) ?? []) : []))
}
