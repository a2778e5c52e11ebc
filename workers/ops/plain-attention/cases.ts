/** The cases of attention's two ops, as these two compute them. */
import * as fc from 'fast-check'
import type { OpCase } from '../../../test/support/op-case.ts'
import { cases as attentionCases, empty as attentionEmpty } from '../attention/cases.ts'
import { plainBackward, plainForward } from './op.ts'

export type Dtype = 'float32' | 'float16' | 'bfloat16'

export function isOfBoth({ op }: OpCase): boolean {
  return op.name === 'attentionForward' || op.name === 'attentionBackward'
}

export function plainCase({ op, args, inputs, outputs }: OpCase, dtype: Dtype): OpCase {
  if (op.name === 'attentionForward') {
    const extremes = 3 * outputs.logsumexp
    return { op: plainForward, args: { ...args, dtype }, inputs, outputs: { ...outputs, extremes } }
  }
  const { delta: _, ...grads } = outputs
  const { parts, apart } = args as { parts: number; apart?: boolean }
  const sums = apart ? parts - 1 : Math.min(1, parts - 1)
  return { op: plainBackward, args: { ...args, sums, dtype }, inputs, outputs: grads }
}

const dtypes = fc.constantFrom<Dtype>('float32', 'float16', 'bfloat16')

export const cases: fc.Arbitrary<OpCase> = fc
  .tuple(attentionCases.filter(isOfBoth), dtypes)
  .map(([attention, dtype]) => plainCase(attention, dtype))

export const empty: OpCase[] = attentionEmpty
  .filter(isOfBoth)
  .map(attention => plainCase(attention, 'float32'))
