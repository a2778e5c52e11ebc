/** The activations of functions.ts over ELEMENT_BLOCK elements a unit: they write y, or gradX and gradGate. */
import {
  Call, ELEMENT_BLOCK, KIND_GEGLU, KIND_GEGLU_TANH, KIND_GELU, KIND_GELU_TANH, KIND_QUICK_GELU, KIND_RELU, KIND_SILU,
} from '../../../wasm/generated/activation'
import { Gelu, GeluTanh, QuickGelu, Relu, Silu, passed, slope, value } from './functions'

// The loops take eight elements at a time, then one by one: a lane's arithmetic is the same wherever it stands. Of a pair of stores
// the upper half comes first (see attention/LADDER.md).

function forward<F>(x: usize, y: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const y0 = value<F>(v128.load(x))
    const y1 = value<F>(v128.load(x, 16))
    v128.store(y, y1, 16)
    v128.store(y, y0)
    x += 32
    y += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(y, value<F>(v128.load_splat<f32>(x)), 0)
    x += 4
    y += 4
  }
}

function gatedForward<F>(x: usize, gate: usize, y: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const y0 = f32x4.mul(value<F>(v128.load(gate)), v128.load(x))
    const y1 = f32x4.mul(value<F>(v128.load(gate, 16)), v128.load(x, 16))
    v128.store(y, y1, 16)
    v128.store(y, y0)
    x += 32
    gate += 32
    y += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(y, f32x4.mul(value<F>(v128.load_splat<f32>(gate)), v128.load_splat<f32>(x)), 0)
    x += 4
    gate += 4
    y += 4
  }
}

function backward<F>(x: usize, gradY: usize, gradX: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const g0 = passed(v128.load(gradY), slope<F>(v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), slope<F>(v128.load(x, 16)))
    v128.store(gradX, g1, 16)
    v128.store(gradX, g0)
    x += 32
    gradY += 32
    gradX += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(gradX, passed(v128.load_splat<f32>(gradY), slope<F>(v128.load_splat<f32>(x))), 0)
    x += 4
    gradY += 4
    gradX += 4
  }
}

// @ts-ignore: decorator
@inline
function gateSlope<F>(gate: v128, x: v128): v128 {
  return f32x4.mul(slope<F>(gate), x)
}

/** gradX = f(gate)·gradY, gradGate = f′(gate)·x·gradY */
function gatedBackward<F>(x: usize, gate: usize, gradY: usize, gradX: usize, gradGate: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const s0 = passed(v128.load(gradY), value<F>(v128.load(gate)))
    const s1 = passed(v128.load(gradY, 16), value<F>(v128.load(gate, 16)))
    const g0 = passed(v128.load(gradY), gateSlope<F>(v128.load(gate), v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), gateSlope<F>(v128.load(gate, 16), v128.load(x, 16)))
    v128.store(gradX, s1, 16)
    v128.store(gradX, s0)
    v128.store(gradGate, g1, 16)
    v128.store(gradGate, g0)
    x += 32
    gate += 32
    gradY += 32
    gradX += 32
    gradGate += 32
  }
  for (; count > 0; --count) {
    const g = v128.load_splat<f32>(gradY)
    const gateLane = v128.load_splat<f32>(gate)
    const xLane = v128.load_splat<f32>(x)
    v128.store_lane<f32>(gradX, passed(g, value<F>(gateLane)), 0)
    v128.store_lane<f32>(gradGate, passed(g, gateSlope<F>(gateLane, xLane)), 0)
    x += 4
    gate += 4
    gradY += 4
    gradX += 4
    gradGate += 4
  }
}

export function activationForward(call: Call, from: i32, to: i32): void {
  const first = from * ELEMENT_BLOCK
  const count = min(to * ELEMENT_BLOCK, call.count) - first
  const offset = <usize>first << 2
  const x = call.x + offset
  const y = call.y + offset
  const gate = call.gate + offset
  switch (call.kind) {
    case KIND_RELU: return forward<Relu>(x, y, count)
    case KIND_GELU: return forward<Gelu>(x, y, count)
    case KIND_GELU_TANH: return forward<GeluTanh>(x, y, count)
    case KIND_SILU: return forward<Silu>(x, y, count)
    case KIND_QUICK_GELU: return forward<QuickGelu>(x, y, count)
    case KIND_GEGLU: return gatedForward<Gelu>(x, gate, y, count)
    case KIND_GEGLU_TANH: return gatedForward<GeluTanh>(x, gate, y, count)
    default: return gatedForward<Silu>(x, gate, y, count)
  }
}

export function activationBackward(call: Call, from: i32, to: i32): void {
  const first = from * ELEMENT_BLOCK
  const count = min(to * ELEMENT_BLOCK, call.count) - first
  const offset = <usize>first << 2
  const x = call.x + offset
  const gradY = call.gradY + offset
  const gradX = call.gradX + offset
  const gate = call.gate + offset
  const gradGate = call.gradGate + offset
  switch (call.kind) {
    case KIND_RELU: return backward<Relu>(x, gradY, gradX, count)
    case KIND_GELU: return backward<Gelu>(x, gradY, gradX, count)
    case KIND_GELU_TANH: return backward<GeluTanh>(x, gradY, gradX, count)
    case KIND_SILU: return backward<Silu>(x, gradY, gradX, count)
    case KIND_QUICK_GELU: return backward<QuickGelu>(x, gradY, gradX, count)
    case KIND_GEGLU: return gatedBackward<Gelu>(x, gate, gradY, gradX, gradGate, count)
    case KIND_GEGLU_TANH: return gatedBackward<GeluTanh>(x, gate, gradY, gradX, gradGate, count)
    default: return gatedBackward<Silu>(x, gate, gradY, gradX, gradGate, count)
  }
}
