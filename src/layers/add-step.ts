import { ELEMENT_BLOCK } from '../../workers/ops/elementwise/op.ts'
import type { Ref } from '../../workers/task.ts'
import { rowStep } from './row-step.ts'

/** y[i] = a[i] + b[i mod period] */
export function addStep(tensors: { a: Ref; b: Ref; y: Ref }, count: number, period: number) {
  const units = Math.ceil(count / ELEMENT_BLOCK)
  return rowStep({ op: 'add', tensors, args: { count, period } }, units, ELEMENT_BLOCK)
}
