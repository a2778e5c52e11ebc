/** Dropout of one row of a score tile, by the generator of wasm/assembly/dropout-hash.ts. */
import { mix, mixLanes } from '../../../wasm/assembly/dropout-hash'
import { Call } from '../../../wasm/generated/attention'

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
