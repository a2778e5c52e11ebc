/**
 * Scores of any size, however they come to it: the weights are the softmax of the masked scores that the kernel itself reports,
 * and outputs and gradients are what the formulas make of these weights, in float64.
 */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import {
  type AttentionKernels,
  caseScratch,
  MAPS,
  referenceKernels,
  runBackward,
  runForward,
  runMaps,
  runMaskGradient,
  simdKernels,
} from '../../../test/support/attention-runs.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import type { Precision } from '../../contract.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'

const wasm = wasmMemory(16)
const SETS: [string, AttentionKernels, Precision][] = [
  ['reference', referenceKernels, 'float64'],
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map((name): [string, AttentionKernels, Precision] => [
    name,
    simdKernels(wasm.memory, name),
    'float32',
  ]),
]

const SIZE: AttentionSpec = { ...plainSpec, queries: 29, keys: 230, dimK: 5, dimV: 6, scale: 0.5, seed: 3 }

/** Adds ±size to every score by way of the first dimension of q and k; a row has one sign. */
function throughProduct(c: AttentionCase, size: number): void {
  const { dimK } = c.args
  for (let at = 0; at < c.q.length; at += dimK) c.q[at] = (at / dimK) % 2 === 0 ? 2 : -2
  for (let at = 0; at < c.k.length; at += dimK) c.k[at] = Math.fround(size)
}

function throughMask(c: AttentionCase, size: number): void {
  const mask = c.mask as Float32Array
  for (let at = 0; at < mask.length; at++) {
    if (Number.isFinite(mask[at]))
      mask[at] = Math.fround(mask[at] + ((at / c.args.keys) % 2 < 1 ? size : -size))
  }
}

const WAYS: [string, Partial<AttentionSpec>, (c: AttentionCase, size: number) => void][] = [
  ['q·k', {}, throughProduct],
  ['q·k, causal, with entropy', { causal: true, pastKeys: 190, entropyCoefficient: 0.3 }, throughProduct],
  ['q·k and dropout', { dropoutP: 0.3 }, throughProduct],
  ['a mask', { maskKind: 'float' }, throughMask],
  ['a mask, with entropy', { maskKind: 'float', entropyCoefficient: 0.3 }, throughMask],
  ['ALiBi', { alibi: true, pastKeys: 100 }, (c, size) => c.slopes?.fill(Math.fround(size / 100))],
  ['a softcap', { softcap: 7 }, throughProduct],
]

/** Sums of what each result is made of: what a rounding error is measured against. */
class Sums {
  readonly value: Float64Array
  readonly size: Float64Array
  constructor(length: number) {
    this.value = new Float64Array(length)
    this.size = new Float64Array(length)
  }
  add(at: number, x: number, size = Math.abs(x)): void {
    this.value[at] += x
    this.size[at] += size
  }
}

/** Everything again from the masked scores. */
function fromMaskedScores(c: AttentionCase) {
  const { queries, keys, dimK, dimV, scale, softcap, dropoutP } = c.args
  const results = {
    weights: new Sums(queries * keys),
    output: new Sums(queries * dimV),
    entropy: new Sums(queries),
    gradQ: new Sums(queries * dimK),
    gradK: new Sums(keys * dimK),
    gradV: new Sums(keys * dimV),
    gradMask: new Sums(c.gradMask?.length ?? 0),
  }
  for (let i = 0; i < queries; i++) {
    const s = Array.from(c.maskedScores.subarray(i * keys, (i + 1) * keys))
    const max = Math.max(...s)
    if (max === Number.NEGATIVE_INFINITY) continue
    const total = s.reduce((sum, x) => sum + Math.exp(x - max), 0)
    const p = s.map(x => Math.exp(x - max) / total)
    const logP = s.map(x => x - max - Math.log(total))
    const keep = p.map((x, j) => {
      if (dropoutP === 0) return 1
      return x !== 0 && c.droppedWeights[i * keys + j] !== 0 ? 1 / (1 - dropoutP) : 0
    })
    for (let j = 0; j < keys; j++) {
      results.weights.add(i * keys + j, p[j])
      if (p[j] !== 0) results.entropy.add(i, -p[j] * logP[j])
      for (let d = 0; d < dimV; d++) results.output.add(i * dimV + d, keep[j] * p[j] * c.v[j * dimV + d])
    }
    const dot = (x: ArrayLike<number>, xAt: number, y: ArrayLike<number>, yAt: number) => {
      let [sum, size] = [0, 0]
      for (let d = 0; d < dimV; d++) {
        sum += x[xAt + d] * y[yAt + d]
        size += Math.abs(x[xAt + d] * y[yAt + d])
      }
      return { sum, size }
    }
    const delta = dot(results.output.value, i * dimV, c.gradOutput, i * dimV)
    const coefficient = c.scalars?.[1] ?? 0
    for (let j = 0; j < keys; j++) {
      if (p[j] === 0) continue
      const gradWeight = dot(c.gradOutput, i * dimV, c.v, j * dimV)
      const entropyTerm = coefficient === 0 ? 0 : coefficient * (logP[j] + results.entropy.value[i])
      const gradBias = p[j] * (keep[j] * gradWeight.sum - delta.sum - entropyTerm)
      const size = p[j] * (keep[j] * gradWeight.size + delta.size + Math.abs(entropyTerm))
      const slope = softcap > 0 ? 1 - Math.tanh(c.scores[i * keys + j] / softcap) ** 2 : 1
      if (c.gradMask) results.gradMask.add(i * keys + j, gradBias, size)
      for (let d = 0; d < dimV; d++) {
        results.gradV.add(j * dimV + d, keep[j] * p[j] * c.gradOutput[i * dimV + d])
      }
      for (let d = 0; d < dimK; d++) {
        const [q, k] = [scale * c.q[i * dimK + d], scale * c.k[j * dimK + d]]
        results.gradQ.add(i * dimK + d, gradBias * slope * k, Math.abs(size * k))
        results.gradK.add(j * dimK + d, gradBias * slope * q, Math.abs(size * q))
      }
    }
  }
  return results
}

describe.each(SETS)('%s kernels', (_, kernels, precision) => {
  const tolerance = precision === 'float64' ? 1e-12 : 2e-5

  it.each(WAYS)('give right weights and gradients where scores grow through %s', (_way, options, grow) => {
    for (const size of [1e3, 1e6, 1e30, 3e37]) {
      wasm.reset()
      const place = precision === 'float64' ? {} : { precision, allocate: wasm.allocate }
      const c = buildCase({ ...SIZE, ...options }, place)
      grow(c, size)
      const scratch = precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
      runForward(kernels, c, { scratch, maps: MAPS })
      runBackward(kernels, c, { scratch })
      if (c.gradMask) runMaskGradient(kernels, c, { scratch })
      const expected = fromMaskedScores(c)
      const finite = Array.from(c.maskedScores).filter(Number.isFinite)
      if (c.args.softcap === 0) expect(Math.max(...finite.map(Math.abs))).toBeGreaterThan(0.1 * size)
      for (const [name, { value, size: scale }] of Object.entries(expected)) {
        const computed = c[name as keyof typeof expected] as Float64Array | undefined
        if (computed === undefined || value.length === 0) continue
        const largest = scale.reduce((most, x) => Math.max(most, x), 0)
        const worst = value.reduce((most, x, at) => Math.max(most, Math.abs(computed[at] - x)), 0)
        expect(
          value.every((_x, at) => Number.isFinite(computed[at])),
          `${name} at ${size}`,
        ).toBe(true)
        expect(worst, `${name} at ${size}`).toBeLessThanOrEqual(tolerance * largest)
      }
      const weights = Array.from(c.weights)
      runMaps(kernels, c, { scratch })
      expect(Array.from(c.weights)).toEqual(weights)
    }
  })

  it('give rows of the least mask there is equal weights, and no output of what lies far below', () => {
    wasm.reset()
    const spec: AttentionSpec = {
      ...plainSpec,
      queries: 2,
      keys: 3,
      dimK: 1,
      dimV: 1,
      maskKind: 'float',
      scale: 1,
    }
    const place = precision === 'float64' ? {} : { precision, allocate: wasm.allocate }
    const c = buildCase(spec, place)
    c.q.set([1, 1])
    c.k.set([0.5, 1, 2])
    c.v.set([3, 6, 3e38])
    c.mask?.set([-3.4028234663852886e38, -3.4028234663852886e38, -3.4028234663852886e38, 0, 0, -1000])
    const scratch = precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
    runForward(kernels, c, { scratch, maps: MAPS })
    // float64 tells −3.4e38 + 1 from −3.4e38 as little as float32 does
    for (let j = 0; j < 3; j++) expect(c.weights[j]).toBeCloseTo(1 / 3, 6)
    expect(c.output[0] / 1e38).toBeCloseTo(1, 5)
    const second = 1 / (1 + Math.exp(-0.5))
    expect(c.output[1]).toBeCloseTo(3 * (1 - second) + 6 * second, 5)
  })

  it('take values whose sum overflows, and gradients of them', () => {
    for (const [keys, size] of [
      [100, 1e37],
      [300, 3.4028234663852886e38],
      [1, 3.4028234663852886e38],
    ] as const) {
      wasm.reset()
      const spec: AttentionSpec = {
        ...plainSpec,
        queries: 30,
        keys,
        dimK: 3,
        dimV: 70,
        entropyCoefficient: 0,
      }
      const place = precision === 'float64' ? {} : { precision, allocate: wasm.allocate }
      const c = buildCase(spec, place)
      c.k.fill(1)
      c.v.fill(size)
      c.gradOutput.fill(1)
      const scratch = precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
      runForward(kernels, c, { scratch })
      runBackward(kernels, c, { scratch })
      for (const value of c.output) expect(value / size).toBeCloseTo(1, 6)
      const least = precision === 'float64' ? 1e-13 : 1e-6
      // each is a difference of equal numbers, of the size of 70 values
      for (const x of [...c.gradQ, ...c.gradK]) expect(Math.abs(x) / (70 * size)).toBeLessThan(least)
      for (const x of c.gradV) expect(x).toBeCloseTo(30 / keys, 5)
    }
  })

  it('scale q before its product with k', () => {
    wasm.reset()
    const spec: AttentionSpec = { ...plainSpec, queries: 1, keys: 2, dimK: 1, dimV: 1, scale: 1e-38 }
    const place = precision === 'float64' ? {} : { precision, allocate: wasm.allocate }
    const c = buildCase(spec, place)
    c.q.set([1e20])
    c.k.set([1e20, 1.02e20])
    c.v.set([1, 3])
    c.gradOutput.set([1])
    const scratch = precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
    runForward(kernels, c, { scratch, maps: MAPS })
    runBackward(kernels, c, { scratch })
    const second = 1 / (1 + Math.exp(-2))
    expect(c.scores[0]).toBeCloseTo(100, 4)
    expect(c.weights[1]).toBeCloseTo(second, 4)
    // ∂p₁/∂s₁ = p₁·(1 − p₁), and the values are 2 apart
    const slope = 2 * second * (1 - second)
    expect(c.gradK[1] / 1e-18).toBeCloseTo(slope, 4)
    expect(c.gradQ[0] / (1e-38 * 0.02e20)).toBeCloseTo(slope, 3)
  })
})
