/** The way back through the step that a key is. */
import { madd } from '../../../wasm/assembly/lanes'
import { Call, STATE_COLUMNS } from '../../../wasm/generated/recurrent-attention'
import { ROW, clearEdge, factorAt, factorStep, rateOf, rowAt } from './state'
import { addSums, parts, sumOf } from './sums'

/** `slot`: the state before the key; `error`: v − S̃ᵀk, or v. `block` is G, and becomes that of the state before. */
export function keyBackward(
  call: Call, kvHead: i32, j: i32, column: i32, width: i32, slot: usize, error: usize,
): void {
  const b = kvHead / call.kvHeads
  const h = kvHead % call.kvHeads
  const k = call.k + rowAt(kvHead, call.keys, j, call.dimK)
  const rate: f32 = call.beta ? rateOf(call, b, h, j) : 1
  const edge = call.nonFinite && width < STATE_COLUMNS
  updateGradient(call, k)
  if (edge) clearEdge(call.gradUpdate, 1, width)
  scaleRow(call.gradUpdate, rate, call.gradRead)
  if (call.gradV) {
    const at = rowAt(kvHead, call.keys, j, call.dimV) + (<usize>column << 2)
    memory.copy(call.gradV + at, call.gradRead, <usize>width << 2)
  }
  scaleRow(error, rate, call.update)
  const gate = (<usize>b * <usize>call.keys + <usize>j) * <usize>call.kvHeads + <usize>h
  if (call.gradBeta) addTo(call.gradBeta + (gate << 2), sumOf(partsOfRows(call.gradUpdate, error)))
  const factor = factorAt(call, b, h, j)
  if (call.beta) throughDelta(call, k, factor, slot)
  else throughDecay(call, factor, slot)
  if (call.gradK) addSums(call.sums, call.dimK, call.gradK + rowAt(kvHead, call.keys, j, call.dimK))
  if (call.gradDecay) {
    const into = call.gradDecay + ((gate * <usize>call.decayDims) << 2)
    if (call.decayDims > 1 || call.dimK == 1) addSums(call.otherSums, call.dimK, into)
    else addTo(into, sumOf(total(call.otherSums, call.dimK)))
  }
  if (edge) clearEdge(call.block, call.dimK, width)
}

function addTo(into: usize, x: f32): void {
  store<f32>(into, load<f32>(into) + x)
}

/** The parts of all dimensions together. */
function total(sums: usize, count: i32): v128 {
  let sum = f32x4.splat(0)
  for (let d = 0; d < count; ++d) {
    sum = f32x4.add(sum, v128.load(sums))
    sums += 16
  }
  return sum
}

function partsOfRows(x: usize, y: usize): v128 {
  return parts(
    v128.load(x), v128.load(x, 16), v128.load(x, 32), v128.load(x, 48),
    v128.load(y), v128.load(y, 16), v128.load(y, 32), v128.load(y, 48),
  )
}

function scaleRow(x: usize, factor: f32, into: usize): void {
  const a = f32x4.splat(factor)
  v128.store(into, f32x4.mul(a, v128.load(x)))
  v128.store(into, f32x4.mul(a, v128.load(x, 16)), 16)
  v128.store(into, f32x4.mul(a, v128.load(x, 32)), 32)
  v128.store(into, f32x4.mul(a, v128.load(x, 48)), 48)
}

/** ∂u = Gᵀk. */
function updateGradient(call: Call, k: usize): void {
  let u0 = f32x4.splat(0)
  let u1 = u0
  let u2 = u0
  let u3 = u0
  let G = call.block
  const end = k + (<usize>call.dimK << 2)
  for (; k < end; k += 4) {
    const x = v128.load32_splat(k)
    u0 = madd(x, v128.load(G), u0)
    u1 = madd(x, v128.load(G, 16), u1)
    u2 = madd(x, v128.load(G, 32), u2)
    u3 = madd(x, v128.load(G, 48), u3)
    G += ROW
  }
  const into = call.gradUpdate
  v128.store(into, u0)
  v128.store(into, u1, 16)
  v128.store(into, u2, 32)
  v128.store(into, u3, 48)
}

/** Parts of ∂k = G·v in `sums`, of ∂decay = Σ G ⊙ S̃ in `otherSums`; G = a ⊙ G. */
function throughDecay(call: Call, factor: usize, slot: usize): void {
  const next = factorStep(call)
  const u0 = v128.load(call.update)
  const u1 = v128.load(call.update, 16)
  const u2 = v128.load(call.update, 32)
  const u3 = v128.load(call.update, 48)
  let G = call.block
  let sums = call.sums
  let others = call.otherSums
  const end = G + <usize>call.dimK * ROW
  for (; G < end; G += ROW) {
    const a = v128.load32_splat(factor)
    const g0 = v128.load(G)
    const g1 = v128.load(G, 16)
    const g2 = v128.load(G, 32)
    const g3 = v128.load(G, 48)
    v128.store(sums, parts(g0, g1, g2, g3, u0, u1, u2, u3))
    const h0 = f32x4.mul(a, g0)
    const h1 = f32x4.mul(a, g1)
    const h2 = f32x4.mul(a, g2)
    const h3 = f32x4.mul(a, g3)
    // G·(a·S) as (a·G)·S
    v128.store(
      others,
      parts(h0, h1, h2, h3, v128.load(slot), v128.load(slot, 16), v128.load(slot, 32), v128.load(slot, 48)),
    )
    v128.store(G, h0)
    v128.store(G, h1, 16)
    v128.store(G, h2, 32)
    v128.store(G, h3, 48)
    factor += next
    slot += ROW
    sums += 16
    others += 16
  }
}

/** Parts of ∂k = G·u − S̃·(β·∂u) in `sums`; G̃ = G − k·(β·∂u)ᵀ; of ∂decay = Σ G̃ ⊙ S̃ in `otherSums`; G = a ⊙ G̃. */
function throughDelta(call: Call, k: usize, factor: usize, slot: usize): void {
  const next = factorStep(call)
  const u0 = v128.load(call.update)
  const u1 = v128.load(call.update, 16)
  const u2 = v128.load(call.update, 32)
  const u3 = v128.load(call.update, 48)
  const r0 = f32x4.neg(v128.load(call.gradRead))
  const r1 = f32x4.neg(v128.load(call.gradRead, 16))
  const r2 = f32x4.neg(v128.load(call.gradRead, 32))
  const r3 = f32x4.neg(v128.load(call.gradRead, 48))
  let G = call.block
  let sums = call.sums
  let others = call.otherSums
  const end = G + <usize>call.dimK * ROW
  for (; G < end; G += ROW) {
    const a = v128.load32_splat(factor)
    const x = v128.load32_splat(k)
    const s0 = f32x4.mul(a, v128.load(slot))
    const s1 = f32x4.mul(a, v128.load(slot, 16))
    const s2 = f32x4.mul(a, v128.load(slot, 32))
    const s3 = f32x4.mul(a, v128.load(slot, 48))
    let g0 = v128.load(G)
    let g1 = v128.load(G, 16)
    let g2 = v128.load(G, 32)
    let g3 = v128.load(G, 48)
    const ofUpdate = parts(g0, g1, g2, g3, u0, u1, u2, u3)
    v128.store(sums, f32x4.add(ofUpdate, parts(s0, s1, s2, s3, r0, r1, r2, r3)))
    g0 = madd(x, r0, g0)
    g1 = madd(x, r1, g1)
    g2 = madd(x, r2, g2)
    g3 = madd(x, r3, g3)
    v128.store(others, parts(g0, g1, g2, g3, s0, s1, s2, s3))
    v128.store(G, f32x4.mul(a, g0))
    v128.store(G, f32x4.mul(a, g1), 16)
    v128.store(G, f32x4.mul(a, g2), 32)
    v128.store(G, f32x4.mul(a, g3), 48)
    k += 4
    factor += next
    slot += ROW
    sums += 16
    others += 16
  }
}
