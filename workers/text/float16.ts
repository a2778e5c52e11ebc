/** float16 (IEEE binary16) and bfloat16 (the upper half of a float32), rounded to nearest even. */
import { halfBits, halfFrom } from '../older-node.ts'

import { roundToFloat8 } from './float8.ts'

const single = new Float32Array(1)
const bits = new Uint32Array(single.buffer)
const half = 'Float16Array' in globalThis ? new Float16Array(1) : undefined
const halfWord = half === undefined ? new Uint16Array(1) : new Uint16Array(half.buffer)

export function fromFloat16(word: number): number {
  if (half === undefined) return halfFrom(word)
  halfWord[0] = word
  return half[0]
}

export function toFloat16(value: number): number {
  if (half === undefined) return halfBits(Math.f16round(value))
  half[0] = value
  return halfWord[0]
}

export function fromBfloat16(word: number): number {
  bits[0] = word << 16
  return single[0]
}

/**
 * From a double in one rounding: rounding to float32 first could move a value onto the tie between two bfloat16s, so the
 * float32 is made *odd* (its last bit set when anything was cut off), which a second rounding cannot be misled by.
 */
export function toBfloat16(value: number): number {
  single[0] = value
  if (Number.isNaN(value)) return (bits[0] >>> 16) | 0x40
  if (single[0] !== value && Number.isFinite(value)) {
    const away = Math.abs(single[0]) > Math.abs(value)
    if (away) bits[0]--
    bits[0] |= 1
  }
  const word = bits[0]
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

/** Rounds a number to the nearest value of the type. */
export function roundTo(dtype: string, value: number): number {
  if (dtype === 'float32') return Math.fround(value)
  if (dtype === 'float16') return Math.f16round(value)
  if (dtype === 'float8_e4m3') return roundToFloat8(dtype, value)
  return dtype === 'bfloat16' ? fromBfloat16(toBfloat16(value)) : value
}
