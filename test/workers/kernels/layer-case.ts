/**
 * Random problems for the kernels of layers. A spec is plain data that fast-check can draw and shrink; `buildLayerCase`
 * turns it into inputs (float32 numbers, so that both precisions see the same problem), and `runLayer` into outputs,
 * whose memory holds NaN beforehand (uninitialised memory is the contract).
 */
import * as fc from 'fast-check'
import type { KernelSet } from '../../../workers/kernels/kernel-set.ts'
import { linearScratchBytes } from '../../../workers/kernels/simd/linear.ts'
import {
  type ActivationArgs,
  type ActivationKind,
  COLUMN_BLOCK,
  ELEMENT_BLOCK,
  type LinearArgs,
  NORM_ROWS,
  type NormArgs,
  productUnits,
} from '../../../workers/layer-args.ts'
import type { Precision, QkNormArgs } from '../../../workers/task.ts'
import { type Allocate, normalNumbers, ownMemory, ranges } from './attention-case.ts'

interface LinearSpec {
  op: 'linearForward' | 'linearBackwardInput' | 'linearBackwardWeight'
  batch: number
  positions: number
  headsIn: number
  widthIn: number
  headsOut: number
  widthOut: number
  bias: boolean
  residual: boolean
  careful: boolean
  seed: number
}

interface NormSpec extends NormArgs {
  op: 'normForward' | 'normBackward'
  gamma: boolean
  beta: boolean
  residual: boolean
  /** added to every element: LayerNorm must not lose digits to it */
  shift: number
  seed: number
}

interface ActivationSpec extends ActivationArgs {
  op: 'activationForward' | 'activationBackward'
  /** standard deviation of x and gate */
  magnitude: number
  seed: number
}

interface SimpleSpec {
  op: 'columnSums' | 'add' | 'dropoutRows'
  /** batch, heads, positions, width; or rows and columns of them */
  batch: number
  heads: number
  positions: number
  width: number
  /** of dropout */
  p: number
  /** add: b is repeated over the rows */
  repeated: boolean
  seed: number
}

interface QkNormSpec extends QkNormArgs {
  op: 'qkNormForward' | 'qkNormBackward'
  seed: number
}

interface RopeSpec {
  op: 'ropeForward' | 'ropeBackward'
  heads: number
  positions: number
  /** of the rotated part, in pairs, and what follows it */
  pairs: number
  rest: number
  interleaved: boolean
  seed: number
}

export type LayerSpec = QkNormSpec | RopeSpec | LinearSpec | NormSpec | ActivationSpec | SimpleSpec

type Inputs = Record<string, Float64Array>

export interface LayerCase {
  op: LayerSpec['op']
  args: Parameters<KernelSet[LayerSpec['op']]>[1]
  units: number
  inputs: Inputs
  /** lengths */
  outputs: Record<string, number>
}

// ---- drawing a spec ------------------------------------------------------------------------------------------------

const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const sizes = (...values: number[]) => fc.constantFrom(...values)

export const linearSpecs: fc.Arbitrary<LinearSpec> = fc.record({
  op: fc.constantFrom('linearForward', 'linearBackwardInput', 'linearBackwardWeight'),
  batch: sizes(1, 2),
  positions: sizes(1, 3, 7, 17, 50, 97, 111),
  headsIn: sizes(1, 1, 2, 3),
  widthIn: sizes(1, 3, 7, 16, 17, 59, 97),
  headsOut: sizes(1, 1, 2, 3),
  widthOut: sizes(1, 3, 7, 16, 17, 59, 111),
  bias: fc.boolean(),
  residual: fc.boolean(),
  careful: fc.boolean(),
  seed,
})

export const normSpecs: fc.Arbitrary<NormSpec> = fc.record({
  op: fc.constantFrom('normForward', 'normBackward'),
  rows: sizes(1, 3, 31, 33, 70),
  dim: sizes(1, 3, 7, 16, 17, 59, 128),
  kind: fc.constantFrom('layer', 'rms'),
  eps: sizes(1e-5, 0.1),
  gamma: fc.boolean(),
  beta: fc.boolean(),
  residual: fc.boolean(),
  shift: sizes(0, 0, 3),
  seed,
})

const activationKinds: ActivationKind[] = ['relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu']

export const activationSpecs: fc.Arbitrary<ActivationSpec> = fc.record({
  op: fc.constantFrom('activationForward', 'activationBackward'),
  kind: fc.constantFrom(...activationKinds),
  count: sizes(1, 3, 7, 17, 111, ELEMENT_BLOCK - 1, ELEMENT_BLOCK + 1, 2 * ELEMENT_BLOCK + 17),
  magnitude: sizes(1, 1, 0.01, 5),
  seed,
})

export const simpleSpecs: fc.Arbitrary<SimpleSpec> = fc.record({
  op: fc.constantFrom('columnSums', 'add', 'dropoutRows'),
  batch: sizes(1, 2),
  heads: sizes(1, 2, 3),
  positions: sizes(1, 3, 17, 59, 257),
  width: sizes(1, 3, 7, 16, 17, 59, 111),
  p: sizes(0, 0.1, 0.5),
  repeated: fc.boolean(),
  seed,
})

export const qkNormSpecs: fc.Arbitrary<QkNormSpec> = fc.record({
  op: fc.constantFrom('qkNormForward', 'qkNormBackward'),
  rows: sizes(1, 3, 17, 59),
  dim: sizes(1, 3, 7, 16, 17, 64),
  kind: fc.constantFrom('l2', 'rms'),
  eps: sizes(1e-12, 1e-6, 0.1, 8),
  seed,
})

export const ropeSpecs: fc.Arbitrary<RopeSpec> = fc.record({
  op: fc.constantFrom('ropeForward', 'ropeBackward'),
  heads: sizes(1, 2, 3),
  positions: sizes(1, 3, 17),
  pairs: sizes(1, 3, 7, 8, 17, 32),
  rest: sizes(0, 0, 1, 5),
  interleaved: fc.boolean(),
  seed,
})

export const layerSpecs: fc.Arbitrary<LayerSpec> = fc.oneof(
  qkNormSpecs,
  ropeSpecs,
  linearSpecs,
  normSpecs,
  activationSpecs,
  simpleSpecs,
)

// ---- from a spec to tensors ----------------------------------------------------------------------------------------

export function buildLayerCase(spec: LayerSpec): LayerCase {
  const normal = normalNumbers(spec.seed)
  const random = (length: number, scale = 1, shift = 0) =>
    Float64Array.from({ length }, () => Math.fround(shift + scale * normal()))
  switch (spec.op) {
    case 'linearForward':
    case 'linearBackwardInput':
    case 'linearBackwardWeight':
      return linearCase(spec, random)
    case 'normForward':
    case 'normBackward':
      return normCase(spec, random)
    case 'activationForward':
    case 'activationBackward':
      return activationCase(spec, random)
    case 'qkNormForward':
    case 'qkNormBackward':
      return qkNormCase(spec, random)
    case 'ropeForward':
    case 'ropeBackward':
      return ropeCase(spec, random)
    default:
      return simpleCase(spec, random)
  }
}

type Random = (length: number, scale?: number, shift?: number) => Float64Array

function linearCase(spec: LinearSpec, random: Random): LayerCase {
  const { op, batch, positions, headsIn, headsOut, careful } = spec
  const [dimIn, dimOut] = [headsIn * spec.widthIn, headsOut * spec.widthOut]
  const args: LinearArgs = { batch, positions, dimIn, dimOut, headsIn, headsOut, careful }
  const rows = batch * positions
  const [x, weight, gradY] = [random(rows * dimIn), random(dimIn * dimOut), random(rows * dimOut)]
  const residual = (dim: number): Inputs => (spec.residual ? { residual: random(rows * dim) } : {})
  const bias: Inputs = spec.bias ? { bias: random(dimOut) } : {}
  switch (op) {
    case 'linearForward':
      return {
        ...{ op, args, units: productUnits(rows, dimOut) },
        ...{ inputs: { x, weight, ...bias, ...residual(dimOut) }, outputs: { y: rows * dimOut } },
      }
    case 'linearBackwardInput':
      return {
        ...{ op, args, units: productUnits(rows, dimIn) },
        ...{ inputs: { gradY, weight, ...residual(dimIn) }, outputs: { gradX: rows * dimIn } },
      }
    case 'linearBackwardWeight':
      return {
        ...{ op, args, units: productUnits(dimIn, dimOut) },
        ...{ inputs: { x, gradY }, outputs: { gradWeight: dimIn * dimOut } },
      }
  }
}

function normCase(spec: NormSpec, random: Random): LayerCase {
  const { op, rows, dim, kind, eps } = spec
  const args: NormArgs = { rows, dim, kind, eps }
  const x = random(rows * dim, 1, spec.shift)
  const gamma: Inputs = spec.gamma ? { gamma: random(dim) } : {}
  if (op === 'normForward') {
    const beta: Inputs = spec.beta ? { beta: random(dim) } : {}
    return { op, args, units: rows, inputs: { x, ...gamma, ...beta }, outputs: { y: rows * dim } }
  }
  const units = Math.ceil(rows / NORM_ROWS)
  return {
    ...{ op, args, units },
    inputs: {
      ...{ x, ...gamma, gradY: random(rows * dim) },
      ...(spec.residual ? { residual: random(rows * dim) } : {}),
    },
    outputs: {
      gradX: rows * dim,
      ...(spec.gamma ? { partialGamma: units * dim } : {}),
      ...(spec.beta ? { partialBeta: units * dim } : {}),
    },
  }
}

function activationCase(spec: ActivationSpec, random: Random): LayerCase {
  const { op, kind, count } = spec
  const gated = kind === 'swiglu'
  const x = random(count, spec.magnitude)
  const gate: Inputs = gated ? { gate: random(count, spec.magnitude) } : {}
  const common = { op, args: { kind, count }, units: Math.ceil(count / ELEMENT_BLOCK) }
  if (op === 'activationForward') return { ...common, inputs: { x, ...gate }, outputs: { y: count } }
  return {
    ...common,
    inputs: { x, ...gate, gradY: random(count) },
    outputs: { gradX: count, ...(gated ? { gradGate: count } : {}) },
  }
}

function qkNormCase({ op, rows, dim, kind, eps }: QkNormSpec, random: Random): LayerCase {
  const common = { op, args: { rows, dim, kind, eps }, units: rows }
  const x = random(rows * dim)
  if (op === 'qkNormForward') return { ...common, inputs: { x }, outputs: { y: rows * dim } }
  return { ...common, inputs: { x, gradY: random(rows * dim) }, outputs: { gradX: rows * dim } }
}

function ropeCase(spec: RopeSpec, random: Random): LayerCase {
  const { op, heads, positions, pairs, rest, interleaved } = spec
  const [rows, dim, dims] = [heads * positions, 2 * pairs + rest, 2 * pairs]
  const angles = random(positions * pairs, 3)
  const table = {
    cos: angles.map(x => Math.fround(Math.cos(x))),
    sin: angles.map(x => Math.fround(Math.sin(x))),
  }
  const common = { op, args: { rows, positions, dim, dims, interleaved }, units: rows }
  const x = random(rows * dim)
  if (op === 'ropeForward') return { ...common, inputs: { x, ...table }, outputs: { y: rows * dim } }
  return { ...common, inputs: { gradY: x, ...table }, outputs: { gradX: rows * dim } }
}

function simpleCase(spec: SimpleSpec, random: Random): LayerCase {
  const { op, batch, heads, positions, width } = spec
  const count = batch * heads * positions * width
  switch (op) {
    case 'columnSums':
      return {
        ...{ op, args: { batch, heads, positions, width }, units: Math.ceil((heads * width) / COLUMN_BLOCK) },
        ...{ inputs: { x: random(count) }, outputs: { y: heads * width } },
      }
    case 'add': {
      const period = spec.repeated ? positions * width : count
      return {
        ...{ op, args: { count, period }, units: Math.ceil(count / ELEMENT_BLOCK) },
        ...{ inputs: { a: random(count), b: random(period) }, outputs: { y: count } },
      }
    }
    case 'dropoutRows': {
      const rows = batch * heads * positions
      const args = { rows, dim: width, p: spec.p, seedLow: spec.seed, seedHigh: 7 }
      return { op, args, units: rows, inputs: { x: random(count) }, outputs: { y: count } }
    }
  }
}

/** What a task of the case would reserve. */
export function layerScratchBytes({ op, args }: LayerCase): number {
  return op.startsWith('linear') ? linearScratchBytes(args as LinearArgs) : 0
}

// ---- driving kernels -----------------------------------------------------------------------------------------------

export interface LayerRun {
  precision?: Precision
  allocate?: Allocate
  /** byte offset of the kernels' work area */
  scratch?: number
  /** seed: run the units in random pieces and random order; without it in one call */
  cuts?: number
}

type AnyKernel = (t: object, a: object, from: number, to: number, scratch: number) => void

/** The case's outputs by name. */
export function runLayer(
  kernels: KernelSet,
  c: LayerCase,
  { precision = 'float64', allocate = ownMemory, scratch = 0, cuts }: LayerRun = {},
): Record<string, Float64Array | Float32Array> {
  const tensors: Record<string, Float64Array | Float32Array> = {}
  const outputs: typeof tensors = {}
  for (const [name, values] of Object.entries(c.inputs)) {
    tensors[name] = allocate(precision, values.length)
    tensors[name].set(values)
  }
  for (const [name, length] of Object.entries(c.outputs)) {
    outputs[name] = allocate(precision, length)
    outputs[name].fill(Number.NaN)
  }
  const kernel = kernels[c.op] as unknown as AnyKernel
  for (const [from, to] of ranges(c.units, 1, cuts)) {
    kernel({ ...tensors, ...outputs }, c.args, from, to, scratch)
  }
  return outputs
}
