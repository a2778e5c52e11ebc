/**
 * y[r, j] = z·x[r, j], z = keepScale = 1/(1−p) where bits(r, j) ≥ ⌊p·2³²⌋, else 0, by the generator of attention's dropout for
 * element j of row r of x, y [rows, dim]. A dropped NaN stays NaN. A unit is a row.
 */
import { mix, mixLanes } from '../../../wasm/assembly/dropout-hash'
import { Call } from '../../../wasm/generated/elementwise'

export function dropoutRows(call: Call, from: i32, to: i32): void {
  const x = call.x
  const y = call.y
  const dim = call.dim
  const least = i32x4.splat(call.dropThreshold)
  const factor = f32x4.splat(call.keepScale)
  for (let row = from; row < to; ++row) {
    // there are fewer than 2³² rows: the row's high part is 0
    const key1 = mix(<u32>row ^ mix(call.seedLow))
    const key2 = mix(key1 + mix(call.seedHigh))
    const keys1 = i32x4.splat(key1)
    const keys2 = i32x4.splat(key2)
    const at = <usize>row * (<usize>dim << 2)
    let j = i32x4(0, 1, 2, 3)
    for (let d = 0; d < dim; d += 4) {
      const bits = mixLanes(i32x4.add(mixLanes(v128.xor(j, keys1)), keys2))
      const z = v128.and(factor, i32x4.ge_u(bits, least))
      const place = at + (<usize>d << 2)
      if (d + 4 <= dim) v128.store(y + place, f32x4.mul(v128.load(x + place), z))
      else dropRest(x + place, y + place, z, dim - d)
      j = i32x4.add(j, i32x4.splat(4))
    }
  }
}

/** The row's last one to three elements. */
function dropRest(x: usize, y: usize, z: v128, count: i32): void {
  store<f32>(y, load<f32>(x) * f32x4.extract_lane(z, 0))
  if (count > 1) store<f32>(y, load<f32>(x, 4) * f32x4.extract_lane(z, 1), 4)
  if (count > 2) store<f32>(y, load<f32>(x, 8) * f32x4.extract_lane(z, 2), 8)
}
