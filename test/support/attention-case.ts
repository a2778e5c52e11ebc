/**
 * From a spec to an attention problem's tensors, in whatever memory and precision the caller asks for. Every input is a float32
 * number, so that both precisions see the same problem. All outputs start as NaN (uninitialised memory is the contract).
 */
import type { BufferType, Precision } from '../../workers/contract.ts'
import type { BackwardArgs } from '../../workers/ops/attention/op.ts'
import type { Reals } from '../../workers/ops/define-op.ts'
import { intervals } from '../../workers/ops/intervals/kernel.ts'
import type { RowMask } from '../../workers/ops/intervals/op.ts'
import type { AttentionSpec, Four } from './attention-spec.ts'
import { normalNumbers, uniformNumbers } from './numbers.ts'

export interface AttentionCase {
  spec: AttentionSpec
  args: BackwardArgs
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
  denominator: Float64Array
  logsumexp: Float64Array
  entropy: Reals
  maxima: Reals
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
  const args: BackwardArgs = {
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
    distances: 0,
    firstDistance: 0,
    dropoutP: spec.dropoutP,
    seedLow: spec.seedLow,
    seedHigh: spec.seedHigh,
    nonFinite: spec.poison.length > 0,
    earlier: 0,
    parts: spec.parts ?? 1,
    apart: spec.apart,
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
    denominator: allocate('float64', 2 * rows).fill(Number.NaN),
    logsumexp: allocate('float64', rows).fill(Number.NaN),
    entropy: unwritten(rows),
    maxima: unwritten(rows),
    scores: unwritten(rows * keys),
    maskedScores: unwritten(rows * keys),
    weights: unwritten(rows * keys),
    droppedWeights: unwritten(rows * keys),
    delta: unwritten((spec.apart ? parts : 1) * rows),
    gradQ: unwritten(rows * dimK),
    gradQParts: unwritten((spec.apart ? parts - 1 : Math.min(1, parts - 1)) * rows * dimK),
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
