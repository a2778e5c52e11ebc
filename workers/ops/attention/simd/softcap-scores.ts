/** y = cap·tanh(x/cap), element by element: the scores' map behind the softcap. A unit is ELEMENT_BLOCK elements; y may be x itself. */
import { Call, ELEMENT_BLOCK } from '../../../wasm/generated/attention'
import { tanh } from '../../../wasm/assembly/elementary'

export function softcapScores(call: Call, from: i32, to: i32): void {
  const c = f32x4.splat(call.cap)
  const end = <usize>min(to * ELEMENT_BLOCK, call.count) << 2
  let at = <usize>(from * ELEMENT_BLOCK) << 2
  for (; at + 32 <= end; at += 32) {
    const t0 = tanh(f32x4.div(v128.load(call.x + at), c))
    const t1 = tanh(f32x4.div(v128.load(call.x + at, 16), c))
    v128.store(call.y + at, f32x4.mul(t1, c), 16)
    v128.store(call.y + at, f32x4.mul(t0, c))
  }
  for (; at < end; at += 4) {
    const t = tanh(f32x4.div(v128.load_splat<f32>(call.x + at), c))
    store<f32>(call.y + at, f32x4.extract_lane(t, 0) * call.cap)
  }
}
