/** A control and what it shows of the state. */
import type { Field } from '../page/fields.ts'
import type { AttentionState } from './state.ts'

export interface Bound {
  element: HTMLElement
  sync(state: AttentionState): void
}

export type Change = (change: Partial<AttentionState>) => void

export function bind<T>(field: Field<T>, read: (state: AttentionState) => T): Bound {
  return { element: field.element, sync: state => field.sync(read(state)) }
}
