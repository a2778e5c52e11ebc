/** Additions: of two tensors, and of all rows of one. */
import { high, low, narrow } from '../../../wasm/assembly/doubles'
import { COLUMN_BLOCK, Call, ELEMENT_BLOCK } from '../../../wasm/generated/elementwise'

/** y[i] = a[i] + b[i mod period]; a unit is ELEMENT_BLOCK elements of a, y [count]. */
export function add(call: Call, from: i32, to: i32): void {
  const period = call.period
  const end = min(to * ELEMENT_BLOCK, call.count)
  for (let i = from * ELEMENT_BLOCK; i < end; ) {
    const j = i % period
    const run = min(period - j, end - i)
    addRun(call.a + (<usize>i << 2), call.b + (<usize>j << 2), call.y + (<usize>i << 2), run)
    i += run
  }
}

function addRun(a: usize, b: usize, y: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const s0 = f32x4.add(v128.load(a), v128.load(b))
    const s1 = f32x4.add(v128.load(a, 16), v128.load(b, 16))
    v128.store(y, s0)
    v128.store(y, s1, 16)
    a += 32
    b += 32
    y += 32
  }
  for (; count > 0; --count) {
    store<f32>(y, load<f32>(a) + load<f32>(b))
    a += 4
    b += 4
    y += 4
  }
}

/**
 * y[head·width + j] = Σ_batch Σ_position x[batch, head, position, j]; a unit is COLUMN_BLOCK columns of y. Summed in float64 in
 * the order of the rows: thousands of rows in float32 would lose digits. Eight neighbouring columns go down the rows together.
 */
export function columnSums(call: Call, from: i32, to: i32): void {
  const batch = call.batch
  const heads = call.heads
  const positions = call.positions
  const width = call.width
  const row = <usize>width << 2
  const part = <usize>positions * row
  const end = min(to * COLUMN_BLOCK, heads * width)
  for (let column = from * COLUMN_BLOCK; column < end; ) {
    const head = column / width
    const j = column - head * width
    const first = call.x + <usize>head * part + (<usize>j << 2)
    const into = call.y + (<usize>column << 2)
    if (min(width - j, end - column) >= 8) {
      sumEight(first, batch, <usize>heads * part, positions, row, into)
      column += 8
    } else {
      sumOne(first, batch, <usize>heads * part, positions, row, into)
      column += 1
    }
  }
}

function sumEight(x: usize, batch: i32, part: usize, positions: i32, row: usize, y: usize): void {
  let s0 = f64x2.splat(0), s1 = f64x2.splat(0), s2 = f64x2.splat(0), s3 = f64x2.splat(0)
  for (; batch > 0; --batch) {
    let at = x
    for (let position = positions; position > 0; --position) {
      const v0 = v128.load(at)
      const v1 = v128.load(at, 16)
      s0 = f64x2.add(s0, low(v0))
      s1 = f64x2.add(s1, high(v0))
      s2 = f64x2.add(s2, low(v1))
      s3 = f64x2.add(s3, high(v1))
      at += row
    }
    x += part
  }
  v128.store(y, narrow(s0, s1))
  v128.store(y, narrow(s2, s3), 16)
}

function sumOne(x: usize, batch: i32, part: usize, positions: i32, row: usize, y: usize): void {
  let sum: f64 = 0
  for (; batch > 0; --batch) {
    let at = x
    for (let position = positions; position > 0; --position) {
      sum += load<f32>(at)
      at += row
    }
    x += part
  }
  store<f32>(y, <f32>sum)
}
