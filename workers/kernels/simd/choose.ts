/**
 * Which variant to run on this machine. None is assumed to work or to be fast: each computes a small problem, forward
 * and backward, that is checked against the formula, and those that pass are timed against each other.
 */
import { type AttentionArgs, KEY_BLOCK, QUERY_TILE } from '../../task.ts'
import type { KernelSet } from '../kernel-set.ts'
import { createSimdKernels } from './index.ts'
import { scratchBytes } from './scratch.ts'
import { SIMD_VARIANTS, type SimdVariant } from './variants.ts'

export interface Measurement {
  variant: SimdVariant
  /** largest relative error of the self-check; undefined when the variant could not run at all */
  error?: number
  /** forward pass on one core; undefined when it was not timed */
  gigaflops?: number
  /** why the variant is out of the question */
  failure?: string
}

export interface VariantChoice {
  variant: SimdVariant
  measurements: Measurement[]
}

/** Page 0 is the modules'. */
const START = 65536
/** Far above float32's rounding here (1e-6), far below what a wrong lane or term would do. */
const TOLERANCE = 1e-4
const CHECKED = { n: 53, d: 21 }
/** Long enough for V8 to replace its quick first compilation by the optimised one in the background. */
const TIMED = { n: 96, d: 64, milliseconds: 40 }

/**
 * Checks and times the variants in `memory`, of which nothing may be in use yet (it needs less than 1 MiB). Throws when
 * the forced variant, or every one, fails.
 */
export function chooseVariant(
  memory: WebAssembly.Memory,
  { forced }: { forced?: SimdVariant } = {},
): VariantChoice {
  const names = forced === undefined ? (Object.keys(SIMD_VARIANTS) as SimdVariant[]) : [forced]
  const candidates = names.map(variant => candidateOf(memory, variant))
  const passed = candidates.filter(({ kernels }) => kernels !== undefined)
  const measurements = candidates.map(({ measurement }) => measurement)
  if (passed.length === 0) {
    throw new Error(
      `no SIMD kernels run here: ${measurements.map(m => `${m.variant}: ${m.failure}`).join('; ')}`,
    )
  }
  if (forced === undefined) time(memory, passed)
  const best = passed.reduce((a, b) =>
    (b.measurement.gigaflops ?? 0) > (a.measurement.gigaflops ?? 0) ? b : a,
  )
  return { variant: best.measurement.variant, measurements }
}

interface Candidate {
  measurement: Measurement
  kernels?: KernelSet
}

function candidateOf(memory: WebAssembly.Memory, variant: SimdVariant): Candidate {
  try {
    const kernels = createSimdKernels(memory, variant)
    const error = selfCheck(memory, kernels)
    if (error <= TOLERANCE) return { kernels, measurement: { variant, error } }
    return { measurement: { variant, error, failure: `wrong by ${error} in the self-check` } }
  } catch (error) {
    return { measurement: { variant, failure: error instanceof Error ? error.message : String(error) } }
  }
}

/** A problem of one head at the beginning of the memory, with everything forward and backward need. */
function problem(memory: WebAssembly.Memory, n: number, d: number) {
  let next = START
  const take = (length: number): Float32Array => {
    const view = new Float32Array(memory.buffer, next, length)
    next += Math.ceil((length * 4) / 64) * 64
    return view
  }
  const input = (frequency: number): Float32Array => {
    const view = take(n * d)
    for (let i = 0; i < view.length; i++) view[i] = Math.sin(frequency * (i + 1))
    return view
  }
  const tensors = {
    ...{ q: input(1.3), k: input(1.7), v: input(2.3), gradOutput: input(2.9) },
    ...{ output: take(n * d), gradQ: take(n * d), gradK: take(n * d), gradV: take(n * d) },
    ...{ logsumexp: new Float64Array(memory.buffer, take(2 * n).byteOffset, n), delta: take(n) },
  }
  const args: AttentionArgs = {
    ...{ batch: 1, heads: 1, kvHeads: 1, queries: n, keys: n, dimK: d, dimV: d, scale: 1 / Math.sqrt(d) },
    ...{ softcap: 0, alignment: 'top_left', pastKeys: 0, causal: true, windowLeft: -1, windowRight: -1 },
    ...{ maskKind: 'none', maskStrides: [0, 0, 0, 0], dropoutP: 0, seedLow: 0, seedHigh: 0, careful: false },
  }
  return { tensors, args, scratch: take(scratchBytes(d, d) / 4).byteOffset }
}

/** Largest error of output and gradients against the formula, relative to the largest element of each. */
function selfCheck(memory: WebAssembly.Memory, kernels: KernelSet): number {
  const { n, d } = CHECKED
  const { tensors, args, scratch } = problem(memory, n, d)
  kernels.attentionForward(tensors, args, 0, Math.ceil(n / QUERY_TILE), scratch)
  kernels.attentionBackward(tensors, args, 0, Math.ceil(n / KEY_BLOCK), scratch)
  const expected = causalAttention(tensors, n, d)
  let worst = 0
  for (const [name, right] of Object.entries(expected)) {
    const computed = tensors[name as keyof typeof expected]
    const largest = right.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
    for (let i = 0; i < right.length; i++) {
      const error = Math.abs(computed[i] - right[i]) / largest
      if (!(error <= worst)) worst = error // NaN, too, is worse
    }
  }
  return worst
}

/** O = P·V, dV = Pᵀ·dO, dS = P ∘ (dO·Vᵀ − rowsum(O ∘ dO)), dQ = dS·K/√d, dK = dSᵀ·Q/√d, row by row, in float64. */
function causalAttention(t: ReturnType<typeof problem>['tensors'], n: number, d: number) {
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

/** Short runs of each in turn, the best of each counting, so that a disturbance hits all alike or nobody. */
function time(memory: WebAssembly.Memory, candidates: Candidate[]): void {
  const { n, d } = TIMED
  const { tensors, args, scratch } = problem(memory, n, d)
  const best = candidates.map(() => Number.POSITIVE_INFINITY)
  const end = performance.now() + TIMED.milliseconds
  do {
    for (const [index, { kernels }] of candidates.entries()) {
      const begin = performance.now()
      kernels?.attentionForward(tensors, { ...args, causal: false }, 0, Math.ceil(n / QUERY_TILE), scratch)
      best[index] = Math.min(best[index], performance.now() - begin)
    }
  } while (performance.now() < end)
  for (const [index, { measurement }] of candidates.entries()) {
    measurement.gigaflops = (4 * n * n * d) / (best[index] * 1e6)
  }
}
