/** The masks by position. A new one is a file beside these and a line in this list. */
import type * as z from 'zod'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import { causal } from './causal.ts'
import { lengths } from './lengths.ts'
import type { Mask } from './mask.ts'
import { window } from './window.ts'

export const MASKS = [causal, lengths, window] as const

type Listed = (typeof MASKS)[number]
type Intersection<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void
  ? I
  : never
/** The fields of all masks. */
export type MaskFields = Intersection<ReturnType<Listed['fields']>>
export type MaskOptions = Partial<{ [N in keyof MaskFields]: z.output<MaskFields[N]> }>

export function maskFields(tensors: TensorKinds): MaskFields {
  return Object.assign({}, ...MASKS.map(mask => mask.fields(tensors)))
}

/** What the masks that a request sets let its rows attend to. */
export function rowMasks(options: MaskOptions): RowMask[] {
  return MASKS.flatMap((mask: Mask) => mask.rows(options) ?? [])
}
