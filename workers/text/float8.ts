/** The two float8 types of OCP's specification, rounded to nearest even; what is larger than the largest number saturates. */

export type Float8 = 'float8_e4m3' | 'float8_e5m2'

interface Form {
  /** bits of the fraction */
  fraction: number
  /** exponents of the least normal number and of the greatest */
  least: number
  largest: number
}

/** e4m3 has no infinities (float8_e4m3fn), e5m2 has them, but nothing is rounded to one. */
const FORMS: Record<Float8, Form> = {
  float8_e4m3: { fraction: 3, least: -6, largest: 448 },
  float8_e5m2: { fraction: 2, least: -14, largest: 57344 },
}

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)

/** The power of two that a number's first bit stands for; of subnormal doubles less than any that matters here. */
function exponentOf(value: number): number {
  double[0] = value
  return ((words[1] >>> 20) & 0x7ff) - 1023
}

export function roundToFloat8(dtype: Float8, value: number): number {
  if (Number.isNaN(value)) return value
  const { fraction, least, largest } = FORMS[dtype]
  const size = Math.abs(value)
  const unit = 2 ** (Math.max(exponentOf(size), least) - fraction)
  const rounded = size >= largest ? largest : Math.min(largest, nearestEven(size / unit) * unit)
  return value < 0 || Object.is(value, -0) ? -rounded : rounded
}

function nearestEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
}

/** The number of a code. */
export function fromFloat8(dtype: Float8, code: number): number {
  const { fraction, least } = FORMS[dtype]
  const sign = code & 0x80 ? -1 : 1
  const exponent = (code & 0x7f) >> fraction
  const rest = (code & ((1 << fraction) - 1)) / (1 << fraction)
  if (dtype === 'float8_e4m3' && (code & 0x7f) === 0x7f) return Number.NaN
  if (dtype === 'float8_e5m2' && exponent === 31)
    return rest === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * rest * 2 ** least : sign * (1 + rest) * 2 ** (least + exponent - 1)
}
