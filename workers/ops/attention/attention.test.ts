/** What every kernel set must do, whatever its precision: run over the reference and over every SIMD variant. */
import * as fc from 'fast-check'
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
import { type AttentionSpec, attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import type { Precision } from '../../contract.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { attentionBackward } from './op.ts'

const wasm = wasmMemory(192)

interface Runner {
  name: string
  kernels: AttentionKernels
  precision: Precision
}

const RUNNERS: Runner[] = [
  { name: 'reference', kernels: referenceKernels, precision: 'float64' },
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(
    (name): Runner => ({ name, kernels: simdKernels(wasm.memory, name), precision: 'float32' }),
  ),
]

const RESULTS = [
  'output',
  'logsumexp',
  'entropy',
  'maskedScores',
  'weights',
  'droppedWeights',
  'gradQ',
  'gradK',
  'gradV',
  'gradMask',
] as const

function build(runner: Runner, spec: AttentionSpec): AttentionCase {
  wasm.reset()
  return buildCase(
    spec,
    runner.precision === 'float64' ? {} : { precision: 'float32', allocate: wasm.allocate },
  )
}

/** Runs everything; returns copies of the results. */
function run({ kernels, precision }: Runner, c: AttentionCase, cuts?: number): Record<string, number[]> {
  const scratch = precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
  const options = cuts === undefined ? { scratch } : { scratch, cuts }
  runForward(kernels, c, { ...options, maps: MAPS })
  runBackward(kernels, c, options)
  if (c.gradMask) runMaskGradient(kernels, c, options)
  return Object.fromEntries(RESULTS.flatMap(name => (c[name] ? [[name, Array.from(c[name])]] : [])))
}

describe.each(RUNNERS)('$name kernels', runner => {
  it('write every element of their outputs', () => {
    // the case fills outputs with NaN beforehand
    fc.assert(
      fc.property(attentionSpecs(), spec => {
        for (const [name, values] of Object.entries(run(runner, build(runner, spec)))) {
          expect(values.some(Number.isNaN), name).toBe(false)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('give the same bits however the range is cut', () => {
    const sizes = {
      queries: [1, 17, 59, 97],
      keys: [3, 97, 200],
      dimK: [5, 16],
      dimV: [7, 16],
      batch: [1, 2],
    }
    fc.assert(
      fc.property(attentionSpecs(sizes), fc.nat(1000), (spec, seed) => {
        const whole = run(runner, build(runner, spec))
        expect(run(runner, build(runner, spec), seed)).toEqual(whole)
      }),
      { numRuns: 40 },
    )
  })

  it('write any choice of maps in the forward pass, as they are written alone, and the same output as without', () => {
    const sizes = { queries: [3, 30], keys: [1, 7, 96, 110, 200], dimK: [4, 300], dimV: [3, 16] }
    const specs = fc.oneof(attentionSpecs(sizes), attentionSpecs({ ...sizes, poison: true }))
    fc.assert(
      fc.property(specs, fc.subarray([...MAPS], { minLength: 1 }), (spec, maps) => {
        const c = build(runner, spec)
        const { keys } = c.args
        const scratch = runner.precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
        const results = ['output', 'logsumexp', 'entropy', ...MAPS] as const
        const copies = () => Object.fromEntries(results.map(name => [name, Array.from(c[name])]))
        runForward(runner.kernels, c, { scratch })
        runMaps(runner.kernels, c, { scratch })
        const expected = copies()
        for (const name of results) c[name].fill(123)
        runForward(runner.kernels, c, { scratch, maps })
        const untouched = MAPS.filter(name => !maps.includes(name))
        for (const name of untouched) expected[name] = expected[name].map(() => 123)
        expect(copies(), `${keys} keys`).toEqual(expected)
      }),
      { numRuns: 100 },
    )
  })

  it('write any choice of gradients as all of them together, and need no entropy that is not asked for', () => {
    const names = ['gradQ', 'gradK', 'gradV'] as const
    const specs = attentionSpecs({ keys: [3, 17, 200] })
    fc.assert(
      fc.property(specs, fc.subarray([...names]), (spec, wanted) => {
        const expected = run(runner, build(runner, spec))
        const c = build(runner, spec)
        const scratch = runner.precision === 'float64' ? 0 : wasm.scratch(caseScratch(c))
        const left: Record<string, undefined> = {}
        for (const name of names) if (!wanted.includes(name)) left[name] = undefined
        if (!wanted.includes('gradQ')) left.gradQParts = undefined
        if (!spec.entropyCoefficient) left.entropy = undefined
        const some = { ...c, ...left }
        runForward(runner.kernels, some, { scratch })
        runner.kernels.attentionBackward(some, c.args, 0, attentionBackward.units(c.args), scratch)
        const apart = c.args.apart ? c.gradQParts.length : 0
        for (let at = 0; at < apart; at++) c.gradQ[at % c.gradQ.length] += c.gradQParts[at]
        expect(Array.from(c.output)).toEqual(expected.output)
        for (const name of wanted) expect(Array.from(c[name]), name).toEqual(expected[name])
      }),
      { numRuns: 40 },
    )
  })

  it('let nothing through a mask, not even a NaN', () => {
    // every row sees a part of the keys; NaN and infinities stand in the others, in padding rows and in masked rows
    const specs = attentionSpecs({ queries: [3, 17, 30], keys: [7, 17, 110], dimK: [4, 7], dimV: [3, 16] })
    fc.assert(
      fc.property(
        specs,
        fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
        (spec, bad) => {
          const clean = build(runner, spec)
          const expected = run(runner, clean)
          const unseen = unattended(expected.maskedScores, clean)
          const dirty = build(runner, { ...spec, poison: [] })
          dirty.args.nonFinite = true
          for (const { tensor, row, width } of unseen) dirty[tensor].fill(bad, row * width, (row + 1) * width)
          const got = run(runner, dirty)
          for (const name of RESULTS) {
            if (expected[name] === undefined) continue
            // a run told of non-finite inputs may sum in another order: the values, not the bits
            const worst = expected[name].reduce((most, value, i) => {
              const same = Object.is(value, got[name][i]) || value === got[name][i]
              const error = same ? 0 : Math.abs(value - got[name][i]) / (1e-3 + Math.abs(value))
              return error >= most || Number.isNaN(error) ? error : most
            }, 0)
            expect(worst, name).toBeLessThan(runner.precision === 'float64' ? 1e-12 : 1e-2)
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  it('show a NaN that is attended', () => {
    for (const tensor of ['q', 'k', 'v'] as const) {
      const c = build(runner, { ...plainSpec, poison: [{ tensor, at: 0, value: Number.NaN }] })
      expect(run(runner, c).output.some(Number.isNaN), tensor).toBe(true)
    }
    const c = build(runner, { ...plainSpec, poison: [{ tensor: 'gradOutput', at: 0, value: Number.NaN }] })
    expect(run(runner, c).gradV.some(Number.isNaN)).toBe(true)
  })

  it('give no weight to what is masked in a row that is NaN', () => {
    const poison = [{ tensor: 'q' as const, at: 0, value: Number.NaN }]
    const spec = { ...plainSpec, keys: 30, maskKind: 'bool' as const, dropoutP: 0.1, poison }
    const got = run(runner, build(runner, spec))
    const masked = got.maskedScores.slice(0, 30).map(s => s === Number.NEGATIVE_INFINITY)
    expect(masked.filter(Boolean).length).toBeGreaterThan(0)
    for (const name of ['weights', 'droppedWeights'] as const) {
      expect(got[name].slice(0, 30)).toEqual(masked.map(is => (is ? 0 : Number.NaN)))
      expect(got[name].slice(30).some(Number.isNaN)).toBe(false)
    }
  })

  it('give zeros and −∞ for a row that attends to nothing', () => {
    const rules: Partial<AttentionSpec>[] = [
      { kvLengths: [0] },
      { qLengths: [0] },
      { causal: true, alignment: 'bottom_right', queries: 9, keys: 3, qLengths: [9], kvLengths: [3] },
      { windowLeft: 0, windowRight: 0, queries: 9, keys: 3 },
    ]
    for (const rule of rules) {
      const c = build(runner, { ...plainSpec, ...rule, entropyCoefficient: 0.5 })
      const got = run(runner, c)
      let empty = 0
      for (let row = 0; row < c.args.queries; row++) {
        const keys = got.maskedScores.slice(row * c.args.keys, (row + 1) * c.args.keys)
        if (keys.some(s => s !== Number.NEGATIVE_INFINITY)) continue
        empty++
        const of = (name: string, width: number) => got[name].slice(row * width, (row + 1) * width)
        expect(of('output', 4)).toEqual([0, 0, 0, 0])
        expect(of('gradQ', 4)).toEqual([0, 0, 0, 0])
        expect(of('weights', c.args.keys).every(weight => weight === 0)).toBe(true)
        expect([got.logsumexp[row], got.entropy[row]]).toEqual([Number.NEGATIVE_INFINITY, 0])
      }
      expect(empty).toBeGreaterThan(0)
    }
  })

  it('take sizes of 0', () => {
    for (const size of [{ batch: 0 }, { queries: 0 }, { keys: 0 }]) {
      const c = build(runner, { ...plainSpec, ...size })
      const got = run(runner, c)
      expect(got.output.every(x => x === 0)).toBe(true)
      expect([...got.gradQ, ...got.gradK, ...got.gradV].every(x => x === 0)).toBe(true)
    }
  })

  it('agree with the reference on which weights dropout keeps', () => {
    const spec = {
      ...plainSpec,
      batch: 2,
      group: 2,
      queries: 40,
      keys: 130,
      dropoutP: 0.3,
      seedLow: 123456789,
      seedHigh: 7,
    }
    const kept = (values: number[]) => values.map(weight => weight !== 0)
    const reference = run(RUNNERS[0], build(RUNNERS[0], spec)).droppedWeights
    expect(kept(run(runner, build(runner, spec)).droppedWeights)).toEqual(kept(reference))
    const share = reference.filter(weight => weight === 0).length / reference.length
    expect(share).toBeGreaterThan(0.28)
    expect(share).toBeLessThan(0.32)
  })
})

/** Rows of q, k, v and gradOutput that no attended pair touches. */
function unattended(maskedScores: number[], { args: a }: AttentionCase) {
  const group = a.heads / a.kvHeads
  const queriesSeen = new Set<number>()
  const keysSeen = new Set<number>()
  for (const [index, s] of maskedScores.entries()) {
    if (s === Number.NEGATIVE_INFINITY) continue
    const row = Math.floor(index / a.keys)
    const head = Math.floor(row / a.queries)
    queriesSeen.add(row)
    const kvHead = Math.floor(head / a.heads) * a.kvHeads + Math.floor((head % a.heads) / group)
    keysSeen.add(kvHead * a.keys + (index % a.keys))
  }
  const rows = (count: number, seen: Set<number>) =>
    Array.from({ length: count }, (_, row) => row).filter(row => !seen.has(row))
  const queries = rows(a.batch * a.heads * a.queries, queriesSeen)
  const keys = rows(a.batch * a.kvHeads * a.keys, keysSeen)
  return [
    ...queries.map(row => ({ tensor: 'q' as const, row, width: a.dimK })),
    ...queries.map(row => ({ tensor: 'gradOutput' as const, row, width: a.dimV })),
    ...keys.map(row => ({ tensor: 'k' as const, row, width: a.dimK })),
    ...keys.map(row => ({ tensor: 'v' as const, row, width: a.dimV })),
  ]
}
