/** The rows of passes, as fast as memory: `reference.ts` says what they are. */
import { Call } from '../../../wasm/generated/passes'

/** y[p, h, t] = x[h, order[p, h, t]] for rows of `rowBytes` bytes, a multiple of 4. */
export function gatherRows(call: Call, from: i32, to: i32): void {
  const heads = call.heads
  const rows = call.rows
  const rowBytes = <usize>call.rowBytes
  for (let row = from; row < to; ++row) {
    const head = (row / rows) % heads
    const index = head * rows + load<i32>(call.order + (<usize>row << 2))
    let source = call.x + <usize>index * rowBytes
    let into = call.y + <usize>row * rowBytes
    const end = into + rowBytes
    for (const last = into + (rowBytes & ~31); into < last; into += 32) {
      const low = v128.load(source)
      const high = v128.load(source, 16)
      v128.store(into, high, 16)
      v128.store(into, low)
      source += 32
    }
    for (; into < end; into += 4) {
      store<f32>(into, load<f32>(source))
      source += 4
    }
  }
}

/** y[h, i] = Σ_p x[p, h, ranks[p, h, i]] for rows of dim elements. */
export function sumParts(call: Call, from: i32, to: i32): void {
  const rows = call.rows
  const parts = call.parts
  const rowBytes = <usize>call.dim << 2
  const all = call.heads * rows
  for (let row = from; row < to; ++row) {
    const firstOfHead = row - (row % rows)
    const into = call.y + <usize>row * rowBytes
    memory.fill(into, 0, rowBytes)
    for (let p = 0; p < parts; ++p) {
      const rank = load<i32>(call.ranks + (<usize>(p * all + row) << 2))
      const part = call.x + <usize>(p * all + firstOfHead + rank) * rowBytes
      let at: usize = 0
      for (; at + 16 <= rowBytes; at += 16) {
        v128.store(into + at, f32x4.add(v128.load(into + at), v128.load(part + at)))
      }
      for (; at < rowBytes; at += 4) store<f32>(into + at, load<f32>(into + at) + load<f32>(part + at))
    }
  }
}
