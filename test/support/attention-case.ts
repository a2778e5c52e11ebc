/**
 * Random attention problems over every option, to run one set of kernels or to hold two against each other.
 *
 * A spec is plain data that fast-check can draw and shrink; `buildCase` turns it into tensors, in whatever memory and
 * precision the caller asks for. Every input is a float32 number, so that both precisions see the same problem. All
 * outputs start as NaN (uninitialised memory is the contract). The run functions drive a kernel set over a whole
 * range of units or over random cuts of it.
 */
import * as fc from 'fast-check'
import type { BufferType, Precision } from '../../../workers/contract.ts'
import type { KernelSet, Reals } from '../../../workers/kernels/kernel-set.ts'
import { KEY_BLOCK, QUERY_TILE } from '../../../workers/layout.ts'
import { intervals } from '../../../workers/ops/intervals/kernel.ts'
import type { RowMask } from '../../../workers/ops/intervals/op.ts'
import type { AttentionArgs, MaskGradientArgs } from '../../../workers/task.ts'
import { normalNumbers, uniformNumbers } from '../../support/numbers.ts'
import { ranges } from '../../support/ranges.ts'

export { normalNumbers, ranges, uniformNumbers }

type Four<T> = [T, T, T, T]

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
  /** independent parts of a head's keys in the backward pass; undefined = 1 */
  parts: number | undefined
  /** standard deviation of the elements of q and k: 1, or about 8 for scores near ±100 */
  magnitude: number
  /** non-finite elements, each at index `at` mod the tensor's length */
  poison: { tensor: 'q' | 'k' | 'v' | 'gradOutput'; at: number; value: number }[]
  /** seed of all elements */
  seed: number
}

export interface AttentionCase {
  spec: AttentionSpec
  args: AttentionArgs
  maskShape: Four<number>
  q: Reals
  k: Reals
  v: Reals
  mask?: Uint8Array | Reals
  slopes?: Reals
  qLengths?: Int32Array
  kvLengths?: Int32Array
  /** what the spec's causal, window and lengths say; undefined where they say nothing */
  intervals?: Int32Array
  shifts?: Int32Array
  earlierRanks?: Int32Array
  earlierIntervals?: Int32Array
  gradOutput: Reals
  scalars?: Float64Array
  /** what the kernels write */
  output: Reals
  logsumexp: Float64Array
  entropy: Reals
  scores: Reals
  maskedScores: Reals
  weights: Reals
  droppedWeights: Reals
  delta: Reals
  gradQ: Reals
  gradQParts: Reals
  gradK: Reals
  gradV: Reals
  /** given for a float mask */
  gradMask?: Reals
}

interface Arrays {
  float64: Float64Array
  float32: Float32Array
  int32: Int32Array
  uint8: Uint8Array
}

/** Where a case's tensors live: the process's own memory, or a wasm memory for kernels that need one. */
export type Allocate = <T extends BufferType>(type: T, length: number) => Arrays[T]

export const ownMemory: Allocate = (type, length) => {
  const arrays = { float64: Float64Array, float32: Float32Array, int32: Int32Array, uint8: Uint8Array }
  return new arrays[type](length) as Arrays[typeof type]
}

// ---- drawing a spec ------------------------------------------------------------------------------------------------

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
  /** put NaN and ±∞ into q, k, v, gradOutput (and say `careful`); default false */
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
  magnitude: 1,
  poison: [],
  seed: 1,
}

// ---- from a spec to tensors ----------------------------------------------------------------------------------------

export function buildCase(
  spec: AttentionSpec,
  { precision = 'float64', allocate = ownMemory }: { precision?: Precision; allocate?: Allocate } = {},
): AttentionCase {
  const { batch, kvHeads, group, queries, keys, dimK, dimV } = spec
  const heads = kvHeads * group
  const uniform = uniformNumbers(spec.seed)
  const normal = normalNumbers(uniform)
  const tensor = (length: number, element: (index: number) => number): Reals => {
    const place: Reals = allocate(precision, length)
    for (let index = 0; index < length; index++) place[index] = Math.fround(element(index))
    return place
  }
  const integers = (lengths: number[] | undefined, limit: number): Int32Array | undefined => {
    if (lengths === undefined) return undefined
    const place = allocate('int32', batch)
    for (let b = 0; b < batch; b++) place[b] = lengths[b % lengths.length] % (limit + 1)
    return place
  }
  const unwritten = (length: number): Reals => (allocate(precision, length) as Reals).fill(Number.NaN)

  const maskShape = [batch, heads, queries, keys].map((extent, axis) =>
    spec.maskBroadcast[axis] ? 1 : extent,
  ) as Four<number>
  const hasMask = spec.maskKind !== 'none'
  const args: AttentionArgs = {
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    dimK,
    dimV,
    scale: Math.fround(spec.scale ?? 1 / Math.sqrt(dimK)),
    softcap: spec.softcap,
    intervalStrides: [0, 0],
    shift: spec.alignment === 'bottom_right' ? keys - queries : spec.pastKeys,
    maskKind: spec.maskKind,
    maskStrides: hasMask ? stridesOf(maskShape) : [0, 0, 0, 0],
    dropoutP: spec.dropoutP,
    seedLow: spec.seedLow,
    seedHigh: spec.seedHigh,
    careful: spec.poison.length > 0,
    ...(spec.parts && { parts: spec.parts }),
  }
  const parts = spec.parts ?? 1
  const rows = batch * heads * queries
  const built: AttentionCase = {
    spec,
    args,
    maskShape,
    q: tensor(rows * dimK, () => spec.magnitude * normal()),
    k: tensor(batch * kvHeads * keys * dimK, () => spec.magnitude * normal()),
    v: tensor(batch * kvHeads * keys * dimV, normal),
    gradOutput: tensor(rows * dimV, normal),
    mask: hasMask ? maskOf(maskShape, spec.maskKind === 'bool' ? 'uint8' : precision) : undefined,
    slopes: spec.alibi ? tensor(heads, h => 2 ** ((-8 * (h + 1)) / heads)) : undefined,
    qLengths: integers(spec.qLengths, queries),
    kvLengths: integers(spec.kvLengths, keys),
    scalars: spec.entropyCoefficient === undefined ? undefined : allocate('float64', 2),
    output: unwritten(rows * dimV),
    logsumexp: allocate('float64', rows).fill(Number.NaN),
    entropy: unwritten(rows),
    scores: unwritten(rows * keys),
    maskedScores: unwritten(rows * keys),
    weights: unwritten(rows * keys),
    droppedWeights: unwritten(rows * keys),
    delta: unwritten(parts * rows),
    gradQ: unwritten(rows * dimK),
    gradQParts: unwritten((parts - 1) * rows * dimK),
    gradK: unwritten(batch * kvHeads * keys * dimK),
    gradV: unwritten(batch * kvHeads * keys * dimV),
    gradMask: spec.maskKind === 'float' ? unwritten(product(maskShape)) : undefined,
  }
  built.scalars?.set([0, spec.entropyCoefficient ?? 0])
  place(built, allocate)
  for (const { tensor: name, at, value } of spec.poison) {
    if (built[name].length > 0) built[name][at % built[name].length] = value
  }
  return built

  /** About a quarter of the pairs masked, and now and then a whole row of them. */
  function maskOf(shape: Four<number>, type: 'uint8' | Precision): Uint8Array | Reals {
    const place: Uint8Array | Reals = allocate(type, product(shape))
    let emptyRow = false
    for (let index = 0; index < place.length; index++) {
      if (index % shape[3] === 0) emptyRow = uniform() < 0.1
      const masked = emptyRow || uniform() < 0.25
      if (type === 'uint8') place[index] = masked ? 0 : 1 + Math.floor(uniform() * 255)
      else place[index] = masked ? Number.NEGATIVE_INFINITY : Math.fround(normal())
    }
    return place
  }
}

/** Adds where rows stand among the keys, and the interval of keys that each may attend to. */
function place(c: AttentionCase, allocate: Allocate): void {
  const { spec, args: a, qLengths, kvLengths } = c
  if (spec.alignment === 'bottom_right' && (qLengths !== undefined || kvLengths !== undefined)) {
    c.shifts = allocate('int32', a.batch)
    for (let b = 0; b < a.batch; b++) {
      c.shifts[b] = (kvLengths?.[b] ?? a.keys) - (qLengths?.[b] ?? a.queries)
    }
  }
  const masks: RowMask[] = []
  if (qLengths !== undefined || kvLengths !== undefined) masks.push({ live: 'queries', hi: 'keys' })
  if (spec.causal) masks.push({ hi: ['+', 'aligned', 1] })
  if (spec.windowLeft >= 0) masks.push({ lo: ['-', 'aligned', spec.windowLeft] })
  if (spec.windowRight >= 0) masks.push({ hi: ['+', 'aligned', spec.windowRight + 1] })
  if (masks.length === 0) return
  a.intervalStrides = [a.queries, 0]
  c.intervals = allocate('int32', 2 * a.batch * a.queries)
  const { batch, queries, keys, shift } = a
  const tensors = { shifts: c.shifts, qLengths, kvLengths, intervals: c.intervals }
  intervals(tensors, { batch, queries, keys, shift, masks }, 0, batch)
}

/** Elements between neighbours of a contiguous tensor, 0 along axes of extent 1. */
function stridesOf(shape: Four<number>): Four<number> {
  return shape.map((extent, axis) => (extent === 1 ? 0 : product(shape.slice(axis + 1)))) as Four<number>
}

function product(extents: number[]): number {
  return extents.reduce((whole, extent) => whole * extent, 1)
}

// ---- driving kernels -----------------------------------------------------------------------------------------------

export const MAPS = ['scores', 'maskedScores', 'weights', 'droppedWeights'] as const
export type MapName = (typeof MAPS)[number]

export interface RunOptions {
  /** seed: run the range in random pieces and, where units are independent, in random order; without it in one call */
  cuts?: number
  /** byte offset of the kernels' work area */
  scratch?: number
  /** which maps to write */
  maps?: readonly MapName[]
}

/** The case without the maps that are not wanted. */
function withMaps(c: AttentionCase, maps: readonly MapName[]): AttentionCase {
  const others = MAPS.filter(name => !maps.includes(name)).map(name => [name, undefined])
  return { ...c, ...Object.fromEntries(others) }
}

/** Writes output, logsumexp, entropy, and maps: by default none. */
export function runForward(kernels: KernelSet, c: AttentionCase, options: RunOptions = {}): void {
  const tensors = withMaps(c, options.maps ?? [])
  for (const [from, to] of ranges(queryUnits(c.args), 1, options.cuts)) {
    kernels.attentionForward(tensors, c.args, from, to, options.scratch ?? 0)
  }
}

/** Writes maps, by default all of them; reads logsumexp. */
export function runMaps(kernels: KernelSet, c: AttentionCase, options: RunOptions = {}): void {
  const tensors = withMaps(c, options.maps ?? MAPS)
  for (const [from, to] of ranges(queryUnits(c.args), 1, options.cuts)) {
    kernels.attentionMaps(tensors, c.args, from, to, options.scratch ?? 0)
  }
}

/** Writes delta, gradQ (the sum of its parts), gradK, gradV; reads output, logsumexp, entropy. */
export function runBackward(kernels: KernelSet, c: AttentionCase, options: RunOptions = {}): void {
  const { batch, kvHeads, heads, keys, parts = 1 } = c.args
  const chain = Math.max(1, Math.ceil(Math.ceil(keys / KEY_BLOCK) / parts)) * (heads / kvHeads)
  for (const [from, to] of ranges(batch * kvHeads * parts * chain, chain, options.cuts)) {
    kernels.attentionBackward(c, c.args, from, to, options.scratch ?? 0)
  }
  for (let at = 0; at < c.gradQParts.length; at++) c.gradQ[at % c.gradQ.length] += c.gradQParts[at]
}

/** Writes gradMask (the case must have a float mask); reads output, logsumexp, entropy. */
export function runMaskGradient(kernels: KernelSet, c: AttentionCase, options: RunOptions = {}): void {
  if (c.gradMask === undefined) throw new Error('this case has no float mask')
  const args: MaskGradientArgs = { ...c.args, maskShape: c.maskShape }
  const units = c.maskShape[0] * c.maskShape[1] * Math.ceil(c.maskShape[2] / QUERY_TILE)
  for (const [from, to] of ranges(units, 1, options.cuts)) {
    kernels.attentionMaskGradient({ ...c, gradMask: c.gradMask }, args, from, to, options.scratch ?? 0)
  }
}

export function queryUnits({ batch, heads, queries }: AttentionArgs): number {
  return batch * heads * Math.ceil(queries / QUERY_TILE)
}
