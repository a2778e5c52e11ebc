/** Float64 numbers as JSON text: the text kernels print float32 alone. */

/** No number takes more bytes: -1.23456789e-38 and -0.000123456789 have 15, float64 as JS prints it at most 24. */
export const MOST_BYTES = { float32: 16, float64: 25 }

/** Bytes that the text kernels may touch behind what they have written. */
export const PRINT_SLACK = 32

/** Float64 as JS prints it, at `at`; returns the byte after it. */
export function printFloat64(x: number, into: Uint8Array, at: number): number {
  if (x - x !== 0) return text(Number.isNaN(x) ? '"NaN"' : x > 0 ? '"Infinity"' : '"-Infinity"', into, at)
  return text(Object.is(x, -0) ? '-0' : String(x), into, at)
}

function text(value: string, into: Uint8Array, at: number): number {
  for (let index = 0; index < value.length; index++) into[at + index] = value.charCodeAt(index)
  return at + value.length
}
