/**
 * Rotary position embedding of rows x, y [batch, heads, positions, dim] by the angles of the table's row, cos and sin
 * [batch, positions, dims/2]:
 *
 *   (y_a, y_b) = (x_a·cos − x_b·sin, x_b·cos + x_a·sin)
 *
 * for the pairs (j, j + dims/2), or (2j, 2j + 1) when interleaved; elements from `dims` on are copied. `turn` is 1, or −1 for
 * the backward pass: the transpose of a rotation is the one by the opposite angle. In the place of each row there may be
 * several that turn alike. A unit is a row.
 */
import { madd } from '../../../wasm/assembly/lanes'
import { Call } from '../../../wasm/generated/rope'

export function ropeForward(call: Call, from: i32, to: i32): void {
  rotateRows(call, call.x, call.y, 1, from, to)
}

export function ropeBackward(call: Call, from: i32, to: i32): void {
  rotateRows(call, call.gradY, call.gradX, -1, from, to)
}

function rotateRows(call: Call, x: usize, y: usize, turn: f32, from: i32, to: i32): void {
  if (from >= to) return
  const cos = call.cos
  const sin = call.sin
  const positions = call.positions
  const share = call.heads * positions
  const dim = call.dim
  const dims = call.dims
  const interleaved = call.interleaved
  const row = <usize>dim << 2
  const half = <usize>(dims / 2) << 2
  const rotated = <usize>dims << 2
  // where the next row stands: its position, and what is left of its batch element; a division a row would be felt
  const first = from / call.alike
  let alike = call.alike - (from % call.alike)
  let position = first % positions
  let left = share - (first % share)
  let table = <usize>((first / share) * positions) * half
  for (let r = from; r < to; ++r) {
    const at = <usize>r * row
    const tableAt = table + <usize>position * half
    if (interleaved) rotateNeighbours(x + at, cos + tableAt, sin + tableAt, y + at, half, turn)
    else rotateHalves(x + at, cos + tableAt, sin + tableAt, y + at, half, turn)
    if (dim > dims) memory.copy(y + at + rotated, x + at + rotated, row - rotated)
    if (--alike > 0) continue
    alike = call.alike
    if (++position == positions) position = 0
    if (--left == 0) {
      left = share
      table += <usize>positions * half
    }
  }
}

function rotateHalves(x: usize, cos: usize, sin: usize, y: usize, half: usize, turn: f32): void {
  const sign = f32x4.splat(turn)
  let j: usize = 0
  for (; j + 16 <= half; j += 16) {
    const a = v128.load(x + j)
    const b = v128.load(x + half + j)
    const c = v128.load(cos + j)
    const s = f32x4.mul(v128.load(sin + j), sign)
    v128.store(y + j, madd(a, c, f32x4.neg(f32x4.mul(b, s))))
    v128.store(y + half + j, madd(a, s, f32x4.mul(b, c)))
  }
  for (; j < half; j += 4) {
    const a = load<f32>(x + j)
    const b = load<f32>(x + half + j)
    const c = load<f32>(cos + j)
    const s = load<f32>(sin + j) * turn
    store<f32>(y + j, a * c - b * s)
    store<f32>(y + half + j, a * s + b * c)
  }
}

/** Two pairs at a time: y = x·(c, c) + (x_b, x_a)·(−s, s). */
function rotateNeighbours(x: usize, cos: usize, sin: usize, y: usize, half: usize, turn: f32): void {
  const sign = f32x4(-turn, turn, -turn, turn)
  let j: usize = 0
  for (; j + 8 <= half; j += 8) {
    const v = v128.load(x + 2 * j)
    const c = v128.load64_zero(cos + j)
    const s = v128.load64_zero(sin + j)
    const straight = f32x4.mul(v, v128.shuffle<f32>(c, c, 0, 0, 1, 1))
    const crossed = f32x4.mul(v128.shuffle<f32>(s, s, 0, 0, 1, 1), sign)
    v128.store(y + 2 * j, madd(v128.shuffle<f32>(v, v, 1, 0, 3, 2), crossed, straight))
  }
  for (; j < half; j += 4) {
    const a = load<f32>(x + 2 * j)
    const b = load<f32>(x + 2 * j, 4)
    const c = load<f32>(cos + j)
    const s = load<f32>(sin + j) * turn
    store<f32>(y + 2 * j, a * c - b * s)
    store<f32>(y + 2 * j, a * s + b * c, 4)
  }
}
