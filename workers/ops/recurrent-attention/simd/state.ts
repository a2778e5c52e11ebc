/** Blocks of 16 columns of a state: S [dimK][16], zeros where the state has fewer columns; and the step that a key is. */
import { madd } from '../../../wasm/assembly/lanes'
import { Call, STATE_COLUMNS } from '../../../wasm/generated/recurrent-attention'

/** Bytes of a row of a block. */
export const ROW: usize = 64

// @ts-ignore: decorator
@inline
export function blockBytes(call: Call): usize {
  return <usize>call.dimK * ROW
}

/** One row of `width` elements → 16, the others zeros. */
export function loadRow(source: usize, width: i32, into: usize): void {
  if (width < STATE_COLUMNS) {
    memory.fill(into, 0, ROW)
    memory.copy(into, source, <usize>width << 2)
    return
  }
  v128.store(into, v128.load(source))
  v128.store(into, v128.load(source, 16), 16)
  v128.store(into, v128.load(source, 32), 32)
  v128.store(into, v128.load(source, 48), 48)
}

/** Columns of a state [dimK, dimV] that begin at `source`. */
export function loadBlock(call: Call, source: usize, width: i32, into: usize): void {
  const stride = <usize>call.dimV << 2
  for (let d = 0; d < call.dimK; ++d) {
    loadRow(source, width, into)
    source += stride
    into += ROW
  }
}

export function storeBlock(call: Call, block: usize, width: i32, into: usize): void {
  const stride = <usize>call.dimV << 2
  for (let d = 0; d < call.dimK; ++d) {
    memory.copy(into, block, <usize>width << 2)
    block += ROW
    into += stride
  }
}

/** Makes the columns from `width` on zeros again: 0·∞ has been added to them. */
export function clearEdge(rows: usize, count: i32, width: i32): void {
  const from = <usize>width << 2
  for (let row = 0; row < count; ++row) {
    memory.fill(rows + from, 0, ROW - from)
    rows += ROW
  }
}

/** Index of a key among those of [batch, kvHeads, keys], in bytes of its row. */
// @ts-ignore: decorator
@inline
export function rowAt(head: i32, positions: i32, position: i32, dim: i32): usize {
  return (<usize>head * <usize>positions + <usize>position) * (<usize>dim << 2)
}

/** The first factor of a key, and by how many bytes the next one follows: none where they share one. */
// @ts-ignore: decorator
@inline
export function factorAt(call: Call, b: i32, h: i32, j: i32): usize {
  if (!call.factors) return changetype<usize>(call) + offsetof<Call>('one')
  return call.factors + rowAt(b, call.keys, j, call.kvHeads * call.decayDims) + ((<usize>h * <usize>call.decayDims) << 2)
}

// @ts-ignore: decorator
@inline
export function factorStep(call: Call): usize {
  return call.factors && call.decayDims > 1 ? 4 : 0
}

// @ts-ignore: decorator
@inline
export function rateOf(call: Call, b: i32, h: i32, j: i32): f32 {
  const at = rowAt(b, call.keys, j, call.betaHeads) + (call.betaHeads > 1 ? <usize>h << 2 : 0)
  return load<f32>(call.beta + at)
}

/** S_t, in `into`, from S_{t−1}; where there is room for it, also v − S̃ᵀk, or v where there is no delta rule. */
export function keyStep(
  call: Call, kvHead: i32, j: i32, column: i32, width: i32, block: usize, into: usize, error: usize,
): void {
  const b = kvHead / call.kvHeads
  const h = kvHead % call.kvHeads
  const k = call.k + rowAt(kvHead, call.keys, j, call.dimK)
  const value = call.value
  loadRow(call.v + rowAt(kvHead, call.keys, j, call.dimV) + (<usize>column << 2), width, value)
  const factor = factorAt(call, b, h, j)
  if (call.beta) deltaStep(call, k, factor, rateOf(call, b, h, j), block, into)
  else addStep(call, k, factor, block, into)
  if (error) memory.copy(error, value, ROW)
  if (call.nonFinite && width < STATE_COLUMNS) {
    clearEdge(into, call.dimK, width)
    if (error) clearEdge(error, 1, width)
  }
}

/** S = a ⊙ S + k·vᵀ. */
function addStep(call: Call, k: usize, factor: usize, block: usize, into: usize): void {
  const next = factorStep(call)
  const v0 = v128.load(call.value)
  const v1 = v128.load(call.value, 16)
  const v2 = v128.load(call.value, 32)
  const v3 = v128.load(call.value, 48)
  const end = k + (<usize>call.dimK << 2)
  for (; k < end; k += 4) {
    const a = v128.load32_splat(factor)
    const x = v128.load32_splat(k)
    v128.store(into, madd(x, v0, f32x4.mul(a, v128.load(block))))
    v128.store(into, madd(x, v1, f32x4.mul(a, v128.load(block, 16))), 16)
    v128.store(into, madd(x, v2, f32x4.mul(a, v128.load(block, 32))), 32)
    v128.store(into, madd(x, v3, f32x4.mul(a, v128.load(block, 48))), 48)
    factor += next
    block += ROW
    into += ROW
  }
}

/** S̃ = a ⊙ S, then S = S̃ + k·(β·(v − S̃ᵀk))ᵀ; `value` becomes v − S̃ᵀk. */
function deltaStep(call: Call, k: usize, factor: usize, rate: f32, block: usize, into: usize): void {
  const next = factorStep(call)
  const end = k + (<usize>call.dimK << 2)
  let r0 = f32x4.splat(0)
  let r1 = r0
  let r2 = r0
  let r3 = r0
  let at = into
  for (let p = k; p < end; p += 4) {
    const a = v128.load32_splat(factor)
    const x = v128.load32_splat(p)
    const s0 = f32x4.mul(a, v128.load(block))
    const s1 = f32x4.mul(a, v128.load(block, 16))
    const s2 = f32x4.mul(a, v128.load(block, 32))
    const s3 = f32x4.mul(a, v128.load(block, 48))
    v128.store(at, s0)
    v128.store(at, s1, 16)
    v128.store(at, s2, 32)
    v128.store(at, s3, 48)
    r0 = madd(x, s0, r0)
    r1 = madd(x, s1, r1)
    r2 = madd(x, s2, r2)
    r3 = madd(x, s3, r3)
    factor += next
    block += ROW
    at += ROW
  }
  const value = call.value
  const e0 = f32x4.sub(v128.load(value), r0)
  const e1 = f32x4.sub(v128.load(value, 16), r1)
  const e2 = f32x4.sub(v128.load(value, 32), r2)
  const e3 = f32x4.sub(v128.load(value, 48), r3)
  v128.store(value, e0)
  v128.store(value, e1, 16)
  v128.store(value, e2, 32)
  v128.store(value, e3, 48)
  const beta = f32x4.splat(rate)
  const u0 = f32x4.mul(beta, e0)
  const u1 = f32x4.mul(beta, e1)
  const u2 = f32x4.mul(beta, e2)
  const u3 = f32x4.mul(beta, e3)
  for (; k < end; k += 4) {
    const x = v128.load32_splat(k)
    v128.store(into, madd(x, u0, v128.load(into)))
    v128.store(into, madd(x, u1, v128.load(into, 16)), 16)
    v128.store(into, madd(x, u2, v128.load(into, 32)), 32)
    v128.store(into, madd(x, u3, v128.load(into, 48)), 48)
    into += ROW
  }
}
