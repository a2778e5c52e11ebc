/** The float32 nearest to a number written in decimal, rounded once, for the few texts that the text kernels leave over. */

const words = new DataView(new ArrayBuffer(8))
/** More digits than any number in the middle between two float32 has. */
const MOST_DIGITS = 400

/**
 * Rounding to float64 first goes wrong only where that lands on the middle between two float32 and the text does not:
 * then the text's own side decides.
 */
export function nearestFloat32(text: string): number {
  const wide = Number(text)
  const nearest = Math.fround(wide)
  const size = Math.abs(wide)
  const below = float32Below(size)
  if (size === 0 || size >= 2 ** 128 || size !== middleAbove(below)) return nearest
  const side = compare(text, size)
  if (side === 0) return nearest
  const above = float32Above(below)
  return Math.sign(wide) * (side < 0 ? below : above)
}

/** The largest float32 that is not above x ≥ 0. */
function float32Below(x: number): number {
  words.setFloat32(0, x)
  if (words.getFloat32(0) > x) words.setUint32(0, words.getUint32(0) - 1)
  return words.getFloat32(0)
}

/** The next float32, Infinity after the largest. */
function float32Above(x: number): number {
  words.setFloat32(0, x)
  words.setUint32(0, words.getUint32(0) + 1)
  return words.getFloat32(0)
}

/** Halfway to the next float32; what overflows is rounded as if 2^128 were the next one. */
function middleAbove(x: number): number {
  return (x + Math.min(float32Above(x), 2 ** 128)) / 2
}

/** The sign of (the number written, without its sign) − x, exactly. */
function compare(text: string, x: number): number {
  const [, whole, part = '', power = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = `${whole}${part}`.replace(/^0+/, '')
  // of digits that are too many, one that is not 0 says as much as all
  const few = digits.length > MOST_DIGITS ? `${digits.slice(0, MOST_DIGITS)}1` : digits
  const exponent = Number(power) - part.length + digits.length - few.length
  const { significand, exponent: binary } = exactly(x)
  const written = BigInt(few) * 10n ** BigInt(Math.max(exponent, 0)) * 2n ** BigInt(Math.max(-binary, 0))
  const wanted = significand * 10n ** BigInt(Math.max(-exponent, 0)) * 2n ** BigInt(Math.max(binary, 0))
  return written < wanted ? -1 : written > wanted ? 1 : 0
}

/** A normal x = significand·2^exponent. */
function exactly(x: number): { significand: bigint; exponent: number } {
  words.setFloat64(0, x)
  const bits = words.getBigUint64(0)
  return { significand: (bits & ((1n << 52n) - 1n)) | (1n << 52n), exponent: Number(bits >> 52n) - 1075 }
}
