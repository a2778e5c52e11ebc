/** Random attention problems over every option, as plain data that fast-check can draw and shrink. */
import * as fc from 'fast-check'

export type Four<T> = [T, T, T, T]

export interface AttentionSpec {
  batch: number
  kvHeads: number
  /** heads = kvHeads·group */
  group: number
  queries: number
  keys: number
  dimK: number
  dimV: number
  /** undefined = 1/√dimK */
  scale: number | undefined
  softcap: number
  alignment: 'top_left' | 'bottom_right'
  pastKeys: number
  causal: boolean
  windowLeft: number
  windowRight: number
  maskKind: 'none' | 'bool' | 'float'
  /** true where the mask has extent 1 along [batch, heads, queries, keys] */
  maskBroadcast: Four<boolean>
  alibi: boolean
  /** [batch], or undefined for no padding; wrapped into [0, queries] and [0, keys] */
  qLengths: number[] | undefined
  kvLengths: number[] | undefined
  dropoutP: number
  seedLow: number
  seedHigh: number
  /** undefined = no `scalars` at all */
  entropyCoefficient: number | undefined
  /** parts of a head's keys in the backward pass, and whether they are independent; undefined = 1 */
  parts: number | undefined
  apart: boolean
  /** standard deviation of the elements of q and k: 1, or about 8 for scores near ±100 */
  magnitude: number
  /** non-finite elements, each at index `at` mod the tensor's length */
  poison: { tensor: 'q' | 'k' | 'v' | 'gradOutput'; at: number; value: number }[]
  /** seed of all elements */
  seed: number
}

/** What to draw the sizes from. */
export interface Limits {
  batch?: number[]
  kvHeads?: number[]
  group?: number[]
  queries?: number[]
  keys?: number[]
  dimK?: number[]
  dimV?: number[]
  magnitude?: number[]
  /** put NaN and ±∞ into q, k, v, gradOutput (and say `nonFinite`); default false */
  poison?: boolean
}

export function attentionSpecs(limits: Limits = {}): fc.Arbitrary<AttentionSpec> {
  const oneOf = (values: number[] | undefined, otherwise: number[]) =>
    fc.constantFrom(...(values ?? otherwise))
  const sometimes = <T, U>(value: fc.Arbitrary<T>, otherwise: U) =>
    fc.oneof(fc.constant<T | U>(otherwise), value as fc.Arbitrary<T | U>)
  const awkward = [1, 3, 7, 17]
  const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const lengths = sometimes(fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), undefined)
  const poison = fc.record({
    tensor: fc.constantFrom('q' as const, 'k' as const, 'v' as const, 'gradOutput' as const),
    at: fc.nat(),
    value: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  })
  return fc.record({
    batch: oneOf(limits.batch, [1, 2]),
    kvHeads: oneOf(limits.kvHeads, [1, 2]),
    group: oneOf(limits.group, [1, 2, 3]),
    queries: oneOf(limits.queries, awkward),
    keys: oneOf(limits.keys, awkward),
    dimK: oneOf(limits.dimK, awkward),
    dimV: oneOf(limits.dimV, awkward),
    scale: sometimes(fc.constantFrom(0.25, 1), undefined),
    softcap: fc.constantFrom(0, 0, 2, 30),
    alignment: fc.constantFrom('top_left' as const, 'bottom_right' as const),
    pastKeys: fc.constantFrom(0, 0, 2, 9),
    causal: fc.boolean(),
    windowLeft: sometimes(fc.integer({ min: 0, max: 12 }), -1),
    windowRight: sometimes(fc.integer({ min: 0, max: 12 }), -1),
    maskKind: fc.constantFrom('none' as const, 'bool' as const, 'float' as const),
    maskBroadcast: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
    alibi: fc.boolean(),
    qLengths: lengths,
    kvLengths: lengths,
    dropoutP: fc.constantFrom(0, 0, 0.1, 0.5),
    seedLow: uint32,
    seedHigh: uint32,
    entropyCoefficient: fc.constantFrom(undefined, 0, 0.5, -0.25),
    parts: fc.constantFrom(undefined, 1, 2, 3),
    apart: fc.boolean(),
    magnitude: oneOf(limits.magnitude, [1]),
    poison: limits.poison ? fc.array(poison, { minLength: 1, maxLength: 3 }) : fc.constant([]),
    seed: uint32,
  })
}

/** `count` specs, the same for the same seed. */
export function seededSpecs(seed: number, count: number, limits: Limits = {}): AttentionSpec[] {
  return fc.sample(attentionSpecs(limits), { seed, numRuns: count })
}

/** The plainest problem: no mask, no option; for tests that set just what they are about. */
export const plainSpec: AttentionSpec = {
  batch: 1,
  kvHeads: 1,
  group: 1,
  queries: 3,
  keys: 3,
  dimK: 4,
  dimV: 4,
  scale: undefined,
  softcap: 0,
  alignment: 'top_left',
  pastKeys: 0,
  causal: false,
  windowLeft: -1,
  windowRight: -1,
  maskKind: 'none',
  maskBroadcast: [false, false, false, false],
  alibi: false,
  qLengths: undefined,
  kvLengths: undefined,
  dropoutP: 0,
  seedLow: 0,
  seedHigh: 0,
  entropyCoefficient: undefined,
  parts: undefined,
  apart: true,
  magnitude: 1,
  poison: [],
  seed: 1,
}
