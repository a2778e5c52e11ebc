/** Products of 64-bit integers that need 128 bits. */

/** The upper half of a·b, from four products of 32-bit halves. */
// @ts-expect-error: decorator
@inline
export function mulHigh(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff
  const aHigh = a >> 32
  const bLow = b & 0xffffffff
  const bHigh = b >> 32
  const cross = aLow * bHigh
  // at most (2³² − 1)² + 2·(2³² − 1) = 2⁶⁴ − 1
  const middle = ((aLow * bLow) >> 32) + (cross & 0xffffffff) + aHigh * bLow
  return aHigh * bHigh + (cross >> 32) + (middle >> 32)
}
