/** What a request of any endpoint that attends may hold, of what dialects read. */
import type { TensorSource } from '../../../formats/tensor.ts'
import type { EmptyRowOptions } from '../empty-rows.ts'
import type { Span, Window } from '../masks/window.ts'
import type { KindField } from '../variants/index.ts'
import type { DialectName } from './list.ts'

export type Causal = boolean | 'top_left' | 'bottom_right' | undefined
export type WindowField = Window | Span | undefined
export type Windows = WindowField | (WindowField | null)[]

export interface Spoken extends EmptyRowOptions {
  dialect?: DialectName | undefined
  layout?: 'bhnd' | 'bnhd' | undefined
  causal?: Causal
  window?: WindowField
  mask?: TensorSource | undefined
  scale?: number | undefined
  attention_kind?: KindField | undefined
  sinks?: unknown
  q?: TensorSource | undefined
  x?: TensorSource | undefined
  heads?: number | unknown[] | undefined
  q_lengths?: unknown
  kv_lengths?: unknown
  past_k?: unknown
  past?: unknown
  stack?: { causal?: Causal; window?: Windows; heads: number } | undefined
  encoder?: { stack: { causal?: Causal; window?: Windows; heads: number } } | undefined
  backward?: object | undefined
}
