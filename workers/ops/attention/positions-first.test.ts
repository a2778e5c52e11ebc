/** Tensors with positions before heads: the bits of the same with heads first, in that order. */
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
  MAPS,
  referenceKernels,
  runBackward,
  runForward,
  runMaps,
  runMaskGradient,
  simdKernels,
} from '../../../test/support/attention-runs.ts'
import { attentionSpecs } from '../../../test/support/attention-spec.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import type { Precision } from '../../contract.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { type Reals, scratchBytes } from '../define-op.ts'
import { attentionForward } from './op.ts'

const wasm = wasmMemory(64)
const variants = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const SETS: [string, AttentionKernels, Precision, Allocate][] = [
  ['reference', referenceKernels, 'float64', ownMemory],
  ...variants.map((name): [string, AttentionKernels, Precision, Allocate] => [
    name,
    simdKernels(wasm.memory, name),
    'float32',
    wasm.allocate,
  ]),
]

const OF_QUERIES = ['q', 'output', 'gradOutput', 'gradQ'] as const
const OF_KEYS = ['k', 'v', 'gradK', 'gradV'] as const
const OF_ROWS = ['denominator', 'logsumexp', 'entropy', 'maxima', 'delta', ...MAPS] as const

/** x [batch, first, second, width] as [batch, second, first, width]. */
function swapped(x: Reals, batch: number, first: number, second: number): number[] {
  const width = x.length / Math.max(1, batch * first * second)
  const found: number[] = []
  for (let b = 0; b < batch; b++) {
    for (let j = 0; j < second; j++) {
      for (let i = 0; i < first; i++) {
        const at = ((b * first + i) * second + j) * width
        found.push(...x.subarray(at, at + width))
      }
    }
  }
  return found
}

/** The other order of what stands in two. */
function turned(c: AttentionCase, name: (typeof OF_QUERIES | typeof OF_KEYS)[number]): number[] {
  const { batch, heads, kvHeads, queries, keys } = c.args
  const ofKeys = (OF_KEYS as readonly string[]).includes(name)
  return ofKeys ? swapped(c[name], batch, kvHeads, keys) : swapped(c[name], batch, heads, queries)
}

/** How many elements differ, and the first that does. */
function differences(
  found: Reals | undefined,
  expected: ArrayLike<number> = [],
): [count: number, at: number] {
  let [count, first] = [Math.abs((found?.length ?? 0) - expected.length), -1]
  for (let at = 0; at < expected.length; at++) {
    if (Object.is(found?.[at], expected[at])) continue
    if (count++ === 0) first = at
  }
  return [count, first]
}

const few = { group: [1, 2], queries: [1, 17, 59], keys: [3, 97, 200], dimK: [5, 16], dimV: [7, 16] }
const specsOf = (precision: Precision) => {
  // beyond 256 dimensions packs are made in parts
  const sizes = precision === 'float64' ? few : { ...few, dimK: [5, 16, 64, 300], dimV: [7, 40, 64, 300] }
  return fc.oneof(attentionSpecs(sizes), attentionSpecs({ ...sizes, poison: true }))
}

describe.each(SETS)('%s kernels with positions first', (_name, kernels, precision, allocate) => {
  it('give the bits of heads first', () => {
    fc.assert(
      fc.property(specsOf(precision), fc.constantFrom(1, 1, 3e37), fc.nat(), (spec, largest, cuts) => {
        wasm.reset()
        const [expected, found] = [0, 1].map(() => buildCase(spec, { precision, allocate }))
        for (let at = 0; at < expected.v.length; at++) expected.v[at] *= largest
        for (const name of ['q', 'k', 'v', 'gradOutput'] as const) found[name].set(turned(expected, name))
        found.args = { ...found.args, positionsFirst: true }
        for (const c of [expected, found]) {
          const scratch = precision === 'float32' ? wasm.scratch(scratchBytes(attentionForward, c.args)) : 0
          const options = { scratch, cuts: c === found ? cuts : undefined }
          runForward(kernels, c, options)
          runMaps(kernels, c, options)
          runBackward(kernels, c, options)
          if (c.gradMask) runMaskGradient(kernels, c, options)
        }
        for (const name of [...OF_QUERIES, ...OF_KEYS]) {
          expect(differences(found[name], turned(expected, name)), name).toEqual([0, -1])
        }
        for (const name of [...OF_ROWS, 'gradMask'] as const) {
          expect(differences(found[name], expected[name]), name).toEqual([0, -1])
        }
      }),
      { numRuns: precision === 'float32' ? 25 : 10 },
    )
  })
})
