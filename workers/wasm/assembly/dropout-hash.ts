/**
 * The dropout generator: a counter-based hash, so that a weight's fate depends on the seed and its place alone and is
 * the same in forward, maps and backward. Bit-identical to the reference kernels.
 *
 * row = (b·heads + h)·queries + i; key1 = mix(rowLow ^ mix(seedLow)); key2 = mix(key1 + mix(seedHigh ^ rowHigh));
 * bits(j) = mix(mix(j ^ key1) + key2); weight j is kept where bits(j) ≥ ⌊p·2³²⌋. The mixer is the "lowbias32" hash.
 */

export function mix(x: u32): u32 {
  x ^= x >>> 16
  x *= 0x7feb352d
  x ^= x >>> 15
  x *= 0x846ca68b
  return x ^ (x >>> 16)
}

// @ts-ignore: decorator
@inline
export function mixLanes(x: v128): v128 {
  x = v128.xor(x, i32x4.shr_u(x, 16))
  x = i32x4.mul(x, i32x4.splat(0x7feb352d))
  x = v128.xor(x, i32x4.shr_u(x, 15))
  x = i32x4.mul(x, i32x4.splat(<i32>0x846ca68b))
  return v128.xor(x, i32x4.shr_u(x, 16))
}
