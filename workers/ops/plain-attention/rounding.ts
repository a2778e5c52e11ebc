/** How an eager program rounds what it stores. */
import { fromBfloat16, toBfloat16 } from '../../text/float16.ts'

export type Dtype = 'float32' | 'float16' | 'bfloat16'
export type Round = (value: number) => number

const ROUNDS: Record<Dtype, Round> = {
  float32: Math.fround,
  float16: Math.f16round,
  bfloat16: value => fromBfloat16(toBfloat16(value)),
}

export function roundingOf(dtype: Dtype): Round {
  return ROUNDS[dtype]
}
