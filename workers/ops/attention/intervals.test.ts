/** A row's own interval of keys, and pairs that an earlier pass has counted, against the same pairs as a bool mask. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Allocate,
  type AttentionCase,
  buildCase,
  ownMemory,
} from '../../../test/support/attention-case.ts'
import {
  type AttentionKernels,
  caseScratch,
  referenceKernels,
  runBackward,
  runForward,
  runMaps,
  simdKernels,
} from '../../../test/support/attention-runs.ts'
import { type AttentionSpec, attentionSpecs } from '../../../test/support/attention-spec.ts'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'

const wasm = wasmMemory(64)
const RUNNERS = [
  { name: 'reference', kernels: referenceKernels, precision: 'float64' as const, tolerance: 1e-12 },
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(name => {
    const kernels = simdKernels(wasm.memory, name)
    return { name, kernels, precision: 'float32' as const, tolerance: 1e-4 }
  }),
]

/** Intervals that never go back, some of them empty, for every head; earlier passes of any order and extent. */
function addPasses(c: AttentionCase, allocate: Allocate, passes: number, seed: number): void {
  const { batch, heads, kvHeads, queries, keys } = c.args
  const uniform = uniformNumbers(seed)
  const upTo = (most: number) => Math.floor(uniform() * (most + 1))
  const given = c.intervals
  c.intervals = allocate('int32', batch * heads * queries * 2)
  c.args.intervalStrides = [heads * queries, queries]
  for (let head = 0; head < batch * heads; head++) {
    const ends = (count: number) => Array.from({ length: count }, () => upTo(keys)).sort((a, b) => a - b)
    const [from, to] = [ends(queries), ends(queries)]
    for (let i = 0; i < queries; i++) {
      const at = 2 * (Math.floor(head / heads) * queries + i)
      const lo = Math.max(from[i], given?.[at] ?? 0)
      c.intervals.set([lo, Math.min(to[i], given?.[at + 1] ?? keys)], 2 * (head * queries + i))
    }
  }
  if (passes === 0) return
  c.args.earlier = passes
  c.earlierRanks = allocate('int32', batch * kvHeads * passes * keys)
  for (let each = 0; each < batch * kvHeads * passes; each++) {
    const order = Array.from({ length: keys }, (_, j) => j).sort(() => uniform() - 0.5)
    c.earlierRanks.set(order, each * keys)
  }
  c.earlierIntervals = allocate('int32', batch * heads * passes * queries * 2)
  for (let at = 0; at < c.earlierIntervals.length; at += 2) {
    const from = upTo(keys)
    c.earlierIntervals.set([from, Math.min(keys, from + upTo(3))], at)
  }
}

/** The same pairs, and those of the case's own mask, as a full bool mask. */
function asMask(c: AttentionCase, allocate: Allocate): Partial<AttentionCase> {
  const { batch, heads, kvHeads, queries, keys } = c.args
  const passes = c.args.earlier
  const mask = allocate('uint8', batch * heads * queries * keys)
  for (let head = 0; head < batch * heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads))
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < keys; j++) {
        const row = head * queries + i
        let attended = j >= c.intervals![2 * row] && j < c.intervals![2 * row + 1]
        for (let e = 0; e < passes; e++) {
          const rank = c.earlierRanks![(kvHead * passes + e) * keys + j]
          const at = 2 * ((head * passes + e) * queries + i)
          if (rank >= c.earlierIntervals![at] && rank < c.earlierIntervals![at + 1]) attended = false
        }
        mask[row * keys + j] = attended ? 1 : 0
      }
    }
  }
  const args = { ...c.args, earlier: 0, maskKind: 'bool' as const }
  args.maskStrides = [heads * queries * keys, queries * keys, keys, 1]
  return { args, mask, intervals: undefined, earlierRanks: undefined, earlierIntervals: undefined }
}

const RESULTS = ['output', 'logsumexp', 'entropy', 'weights', 'gradQ', 'gradK', 'gradV'] as const

function run(kernels: AttentionKernels, c: AttentionCase, scratch: number, cuts?: number) {
  const options = cuts === undefined ? { scratch } : { scratch, cuts }
  runForward(kernels, c, options)
  runMaps(kernels, c, options)
  runBackward(kernels, c, options)
  return Object.fromEntries(RESULTS.map(name => [name, Array.from(c[name])]))
}

describe.each(RUNNERS)('$name kernels', ({ kernels, precision, tolerance }) => {
  const sizes = { queries: [1, 7, 59, 130], keys: [1, 17, 97, 210], dimK: [3, 16], dimV: [5, 16] }
  const allocate = precision === 'float64' ? ownMemory : wasm.allocate
  const build = (spec: AttentionSpec, passes: number) => {
    wasm.reset()
    const c = buildCase({ ...spec, maskKind: 'none' }, { precision, allocate })
    addPasses(c, allocate, passes, spec.seed)
    return { c, scratch: precision === 'float64' ? 0 : wasm.scratch(caseScratch(c)) }
  }

  it('attend to the pairs of a row’s interval that no earlier pass has', () => {
    fc.assert(
      fc.property(
        attentionSpecs(sizes),
        fc.constantFrom(0, 1, 3),
        fc.boolean(),
        (spec, passes, nonFinite) => {
          const { c, scratch } = build(spec, passes)
          c.args.nonFinite = nonFinite
          const found = run(kernels, c, scratch)
          const expected = run(kernels, { ...c, ...asMask(c, allocate) }, scratch)
          for (const name of RESULTS) {
            const worst = found[name].reduce((most, value, index) => {
              const right = expected[name][index]
              return Object.is(value, right)
                ? most
                : Math.max(most, Math.abs(value - right) / (1 + Math.abs(right)))
            }, 0)
            expect(worst, name).toBeLessThan(tolerance)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('give the same bits however the range is cut', () => {
    fc.assert(
      fc.property(attentionSpecs(sizes), fc.nat(1000), (spec, cuts) => {
        const whole = build(spec, 2)
        const expected = run(kernels, whole.c, whole.scratch)
        const cut = build(spec, 2)
        expect(run(kernels, cut.c, cut.scratch, cuts)).toEqual(expected)
      }),
      { numRuns: 20 },
    )
  })
})
