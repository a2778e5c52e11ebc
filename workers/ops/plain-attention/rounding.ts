/** How an eager program rounds what it stores. */

import { roundToFloat8 } from '../../text/float8.ts'
import { fromBfloat16, toBfloat16 } from '../../text/float16.ts'

/** `exact`: nothing is rounded. */
export type Dtype = 'exact' | 'float32' | 'float16' | 'bfloat16' | 'float8_e4m3' | 'float8_e5m2'
export type Round = (value: number) => number

const ROUNDS: Record<Dtype, Round> = {
  exact: value => value,
  float32: Math.fround,
  float16: Math.f16round,
  bfloat16: value => fromBfloat16(toBfloat16(value)),
  float8_e4m3: value => roundToFloat8('float8_e4m3', value),
  float8_e5m2: value => roundToFloat8('float8_e5m2', value),
}

export function roundingOf(dtype: Dtype): Round {
  return ROUNDS[dtype]
}
