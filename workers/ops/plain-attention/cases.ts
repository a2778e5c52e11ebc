/** The cases of attention's two ops, as these two compute them. */
import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { cases as attentionCases, empty as attentionEmpty } from '../attention/cases.ts'
import {
  cappedBackward,
  cappedForward,
  castElements,
  emulatedForward,
  exactBackward,
  exactForward,
  plainBackward,
  plainForward,
} from './op.ts'

export type Dtype = 'float32' | 'float16' | 'bfloat16' | 'float8_e4m3'

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

/** The same with a softcap behind the masks. */
function cappedCase(plain: OpCase): OpCase {
  const op = plain.op.name === 'plainForward' ? cappedForward : cappedBackward
  const dtype = (plain.args as { dtype: Dtype }).dtype
  const args = { ...plain.args, softcap: 3, dtype: dtype === 'float16' ? 'exact' : dtype }
  const { hidden: _, plain: __, ...rest } = plain
  return { ...rest, op, args }
}

/** In float64, whose reference is attention's own. */
export function exactCase(plain: OpCase): OpCase {
  const { dtype: _, ...args } = plain.args as { dtype?: string }
  const isForward = plain.op.name === 'plainForward'
  const { extremes: __, ...outputs } = plain.outputs
  return { op: isForward ? exactForward : exactBackward, args, inputs: plain.inputs, outputs }
}

const dtypes = fc.constantFrom<Dtype>('float32', 'float16', 'bfloat16', 'float8_e4m3')

const plain: fc.Arbitrary<OpCase> = fc
  .tuple(attentionCases.filter(isOfBoth), dtypes, fc.constantFrom('plain', 'capped', 'exact'))
  .map(([attention, dtype, kind]) => {
    const own = plainCase(attention, dtype)
    if (kind === 'exact') return exactCase(own)
    return kind === 'capped' ? cappedCase(own) : own
  })

const stages = fc.constantFrom('exact', 'float32', 'float16', 'bfloat16', 'float8_e4m3', 'float8_e5m2')

const emulated: fc.Arbitrary<OpCase> = fc
  .tuple(
    attentionCases.filter(({ op }) => op.name === 'attentionForward'),
    fc.record({ ofScores: stages, ofWeights: stages, ofSums: stages, ofOutput: stages }),
  )
  .map(([{ args, inputs, outputs }, roundings]) => {
    return { op: emulatedForward, args: { ...args, ...roundings }, inputs, outputs }
  })

const casts: fc.Arbitrary<OpCase> = fc
  .record({ count: fc.constantFrom(1, 9, 5000), dtype: stages, seed: fc.nat() })
  .map(({ count, dtype, seed }) => {
    const x = randomTensors(seed)(count)
    return { op: castElements, args: { count, dtype }, inputs: { x }, outputs: { y: count } }
  })

export const cases: fc.Arbitrary<OpCase> = fc.oneof(plain, emulated, casts)

const exact = { ofScores: 'exact', ofWeights: 'exact', ofSums: 'exact', ofOutput: 'exact' }

export const empty: OpCase[] = [
  ...attentionEmpty.filter(isOfBoth).flatMap(attention => {
    const own = plainCase(attention, 'float32')
    return [own, cappedCase(own), exactCase(own)]
  }),
  ...attentionEmpty
    .filter(({ op }) => op.name === 'attentionForward')
    .map(({ args, inputs, outputs }) => ({
      op: emulatedForward,
      args: { ...args, ...exact },
      inputs,
      outputs,
    })),
  {
    op: castElements,
    args: { count: 0, dtype: 'float16' },
    inputs: { x: new Float64Array(0) },
    outputs: { y: 0 },
  },
]
