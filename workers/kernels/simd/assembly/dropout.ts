/**
 * The dropout generator: a counter-based hash, so that a weight's fate depends on the seed and its place alone and is
 * the same in forward, maps and backward. Bit-identical to the reference kernels.
 *
 * row = (b·heads + h)·queries + i; key1 = mix(rowLow ^ mix(seedLow)); key2 = mix(key1 + mix(seedHigh ^ rowHigh));
 * bits(j) = mix(mix(j ^ key1) + key2); weight j is kept where bits(j) ≥ ⌊p·2³²⌋. The mixer is the "lowbias32" hash.
 */
import { Call } from './call'

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

/**
 * values[j] = kept ? values[j]·keepScale : 0 for columns begin ≤ j < end (multiples of 8) of one row of a tile; `head`
 * is b·heads + h, `i` the query, `firstKey` the key of the tile's column 0. A dropped NaN stays NaN: it was attended.
 */
export function dropRow(call: Call, head: i32, i: i32, firstKey: i32, values: usize, begin: i32, end: i32): void {
  const row = <u64>head * <u64>call.queries + <u64>i
  const key1 = mix(<u32>row ^ mix(call.seedLow))
  const key2 = mix(key1 + mix(call.seedHigh ^ <u32>(row >>> 32)))
  const keys1 = i32x4.splat(key1)
  const keys2 = i32x4.splat(key2)
  const threshold = i32x4.splat(call.dropThreshold)
  const factor = f32x4.splat(call.keepScale)
  let j0 = i32x4.add(i32x4.splat(firstKey + begin), i32x4(0, 1, 2, 3))
  let j1 = i32x4.add(i32x4.splat(firstKey + begin), i32x4(4, 5, 6, 7))
  for (let column = begin; column < end; column += 8) {
    const at = values + (<usize>column << 2)
    const bits0 = mixLanes(i32x4.add(mixLanes(v128.xor(j0, keys1)), keys2))
    const bits1 = mixLanes(i32x4.add(mixLanes(v128.xor(j1, keys1)), keys2))
    const kept0 = f32x4.mul(v128.load(at), v128.and(factor, i32x4.ge_u(bits0, threshold)))
    const kept1 = f32x4.mul(v128.load(at, 16), v128.and(factor, i32x4.ge_u(bits1, threshold)))
    v128.store(at, kept1, 16)
    v128.store(at, kept0)
    j0 = i32x4.add(j0, i32x4.splat(8))
    j1 = i32x4.add(j1, i32x4.splat(8))
  }
}
