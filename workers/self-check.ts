/**
 * Whether a variant computes what it should on this machine: a causal attention and a layer's products, forward and backward,
 * against the formulas in float64. Sizes are such that edges of tiles and blocks are met.
 */

import { ALIGN, PAGE } from './layout.ts'
import { type AttentionArgs, attentionBackward, attentionForward } from './ops/attention/op.ts'
import { scratchBytes } from './ops/define-op.ts'
import { type LinearArgs, linearBackwardInput, linearBackwardWeight, linearForward } from './ops/linear/op.ts'
import type { SimdModule } from './wasm/simd-module.ts'

const ATTENTION = { n: 53, d: 21 }
/** Two parts of the depth forward, an incomplete tile each way. */
const PRODUCT = { rows: 53, dimIn: 261, dimOut: 37 }

type Results = Record<string, ArrayLike<number>>

/** Largest error of any result, relative to the largest element of its tensor. */
export function selfCheck(simd: SimdModule): number {
  return Math.max(attentionError(simd), productError(simd))
}

function largestError(computed: Results, expected: Results): number {
  let worst = 0
  for (const [name, right] of Object.entries(expected)) {
    const largest = Array.from(right).reduce((a, b) => Math.max(a, Math.abs(b)), 0)
    for (let i = 0; i < right.length; i++) {
      const error = Math.abs(computed[name][i] - right[i]) / largest
      if (!(error <= worst)) worst = error // NaN, too, is worse
    }
  }
  return worst
}

/** Hands out memory from the beginning on. */
function allocator(memory: WebAssembly.Memory): (length: number) => Float32Array {
  let next = PAGE
  return length => {
    const view = new Float32Array(memory.buffer, next, length)
    next += Math.ceil((length * 4) / ALIGN) * ALIGN
    return view
  }
}

/** Fills a tensor with a sine. */
function wave(tensor: Float32Array, frequency: number): Float32Array {
  for (let i = 0; i < tensor.length; i++) tensor[i] = Math.sin(frequency * (i + 1))
  return tensor
}

/** A causal problem of one head at the beginning of the memory, with everything forward and backward need. */
export function attentionProblem(memory: WebAssembly.Memory, n: number, d: number) {
  const take = allocator(memory)
  const input = (frequency: number) => wave(take(n * d), frequency)
  const intervals = new Int32Array(memory.buffer, take(2 * n).byteOffset, 2 * n)
  for (let i = 0; i < n; i++) intervals.set([0, i + 1], 2 * i)
  const tensors = {
    intervals,
    q: input(1.3),
    k: input(1.7),
    v: input(2.3),
    gradOutput: input(2.9),
    output: take(n * d),
    gradQ: take(n * d),
    gradK: take(n * d),
    gradV: take(n * d),
    denominator: new Float64Array(memory.buffer, take(4 * n).byteOffset, 2 * n),
    logsumexp: new Float64Array(memory.buffer, take(2 * n).byteOffset, n),
    delta: take(n),
  }
  const args: AttentionArgs = {
    batch: 1,
    heads: 1,
    kvHeads: 1,
    queries: n,
    keys: n,
    dimK: d,
    dimV: d,
    scale: 1 / Math.sqrt(d),
    softcap: 0,
    intervalStrides: [0, 0],
    shift: 0,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    earlier: 0,
    distances: 0,
    firstDistance: 0,
    dropoutP: 0,
    seedLow: 0,
    seedHigh: 0,
  }
  return { tensors, args, scratch: take(scratchBytes(attentionForward, args) / 4).byteOffset }
}

function attentionError(simd: SimdModule): number {
  const { n, d } = ATTENTION
  const { tensors, args, scratch } = attentionProblem(simd.memory, n, d)
  simd.kernel(attentionForward)(tensors, args, 0, attentionForward.units(args), scratch)
  const whole = { ...args, parts: 1 }
  simd.kernel(attentionBackward)(tensors, whole, 0, attentionBackward.units(whole), scratch)
  return largestError(tensors, causalAttention(tensors, n, d))
}

/** O = P·V, dV = Pᵀ·dO, dS = P ∘ (dO·Vᵀ − rowsum(O ∘ dO)), dQ = dS·K/√d, dK = dSᵀ·Q/√d, row by row, in float64. */
function causalAttention(t: ReturnType<typeof attentionProblem>['tensors'], n: number, d: number) {
  const zeros = () => new Float64Array(n * d)
  const { output, gradQ, gradK, gradV } = { output: zeros(), gradQ: zeros(), gradK: zeros(), gradV: zeros() }
  const dot = (x: Float32Array | Float64Array, i: number, y: Float32Array, j: number) => {
    let sum = 0
    for (let c = 0; c < d; c++) sum += x[i * d + c] * y[j * d + c]
    return sum
  }
  const add = (y: Float64Array, i: number, factor: number, x: Float32Array, j: number) => {
    for (let c = 0; c < d; c++) y[i * d + c] += factor * x[j * d + c]
  }
  for (let i = 0; i < n; i++) {
    const e = Array.from({ length: i + 1 }, (_, j) => Math.exp(dot(t.q, i, t.k, j) / Math.sqrt(d)))
    const sum = e.reduce((a, b) => a + b)
    const p = e.map(x => x / sum)
    p.forEach((weight, j) => {
      add(output, i, weight, t.v, j)
    })
    const delta = dot(output, i, t.gradOutput, i)
    p.forEach((weight, j) => {
      const gradScore = (weight * (dot(t.gradOutput, i, t.v, j) - delta)) / Math.sqrt(d)
      add(gradV, j, weight, t.gradOutput, i)
      add(gradQ, i, gradScore, t.k, j)
      add(gradK, j, gradScore, t.q, i)
    })
  }
  return { output, gradQ, gradK, gradV }
}

function productError(simd: SimdModule): number {
  const { rows, dimIn, dimOut } = PRODUCT
  const args: LinearArgs = { batch: 1, positions: rows, dimIn, dimOut, headsIn: 1, headsOut: 1 }
  const take = allocator(simd.memory)
  const [x, weight] = [wave(take(rows * dimIn), 1.3), wave(take(dimIn * dimOut), 1.7)]
  const [gradY, bias] = [wave(take(rows * dimOut), 2.3), wave(take(dimOut), 2.9)]
  const [y, gradX, gradWeight] = [take(rows * dimOut), take(rows * dimIn), take(dimIn * dimOut)]
  const scratch = take(scratchBytes(linearForward, args) / 4).byteOffset
  simd.kernel(linearForward)({ x, weight, bias, y }, args, 0, linearForward.units(args), scratch)
  const back = linearBackwardInput.units(args)
  simd.kernel(linearBackwardInput)({ gradY, weight, gradX }, args, 0, back, scratch)
  const own = linearBackwardWeight.units(args)
  simd.kernel(linearBackwardWeight)({ x, gradY, gradWeight }, args, 0, own, scratch)
  const expected = linearProducts({ x, weight, bias, gradY })
  return largestError({ y, gradX, gradWeight }, expected)
}

/** y = x·W + b, gradX = gradY·Wᵀ, gradWeight = xᵀ·gradY, element by element. */
function linearProducts(t: Record<'x' | 'weight' | 'bias' | 'gradY', Float32Array>) {
  const { rows, dimIn, dimOut } = PRODUCT
  const y = new Float64Array(rows * dimOut)
  const gradX = new Float64Array(rows * dimIn)
  const gradWeight = new Float64Array(dimIn * dimOut)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < dimOut; c++) {
      y[r * dimOut + c] = t.bias[c]
      for (let k = 0; k < dimIn; k++) {
        y[r * dimOut + c] += t.x[r * dimIn + k] * t.weight[k * dimOut + c]
        gradX[r * dimIn + k] += t.gradY[r * dimOut + c] * t.weight[k * dimOut + c]
        gradWeight[k * dimOut + c] += t.x[r * dimIn + k] * t.gradY[r * dimOut + c]
      }
    }
  }
  return { y, gradX, gradWeight }
}
