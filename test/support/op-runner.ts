/** Runs a case of an op: in float64 and float32, by its TypeScript kernel or by the WebAssembly of every variant. */

import type { Precision } from '../../workers/contract.ts'
import { ALIGN, PAGE } from '../../workers/layout.ts'
import type { Elements, Op } from '../../workers/ops/define-op.ts'
import { KERNELS } from '../../workers/ops/index.ts'
import { createTextKernels } from '../../workers/text/text-kernels.ts'
import { SimdModule } from '../../workers/wasm/simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../workers/wasm/variants.ts'
import { type Input, type OpCase, scratchOf, unitsOf } from './op-case.ts'
import { ranges } from './ranges.ts'

const PAGES = 1024
const FENCE = 64
const FENCE_BYTE = 0xa5

export type Results = Record<string, Elements>

export interface RunOptions {
  /** what stands in every byte of the outputs and of the scratch memory beforehand; default 0xff, NaN in every float type */
  poison?: number
  /** seed: run the units in random pieces and random order; without it in one call */
  cuts?: number
  /** run these units and no others */
  only?: [from: number, to: number]
}

export interface Runner {
  name: string
  precision: Precision
  /** whether it runs the ops that have a WebAssembly kernel, and no others */
  wasm: boolean
  /** copies of the outputs, and the names of what was written to though it is no output */
  run(c: OpCase, options: RunOptions): { outputs: Results; touched: string[] }
}

const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
const text = createTextKernels(memory)

/** The case's outputs in float64, whole. */
export function truthOf(c: OpCase): Record<string, Float64Array> {
  return run(c, 'float64', plainKernel(c), {}).outputs as Record<string, Float64Array>
}

function variantRunner(name: SimdVariant): Runner {
  const simd = new SimdModule(memory, name)
  const kernels = new Map<Op, ReturnType<typeof simd.kernel>>()
  const kernelOf = (op: Op) => {
    const kernel = kernels.get(op) ?? simd.kernel(op)
    kernels.set(op, kernel)
    return kernel
  }
  return {
    name,
    precision: 'float32',
    wasm: true,
    run: (c, options) => run(c, 'float32', c.op.shared ? plainKernel(c) : kernelOf(c.op), options),
  }
}

type Call = (t: Results, a: Record<string, unknown>, from: number, to: number, scratch: number) => unknown

function plainKernel({ op }: OpCase): Call {
  const found = KERNELS.find(each => each.op === op)
  if (found === undefined) throw new Error(`${op.name} is not in the list`)
  return (t, a, from, to) => found.kernel(t, a, from, to, text)
}

function run(c: OpCase, precision: Precision, call: Call, { poison = 0xff, cuts, only }: RunOptions) {
  const { op, args } = c
  let next = PAGE
  const fences: [name: string, at: number][] = []
  const take = (name: string, bytes: number): number => {
    const at = next + FENCE
    next = Math.ceil((at + bytes) / ALIGN) * ALIGN + FENCE
    if (next > PAGES * PAGE) throw new Error('too large for this test')
    new Uint8Array(memory.buffer, at - FENCE, next - at + FENCE).fill(FENCE_BYTE)
    new Uint8Array(memory.buffer, at, bytes).fill(poison)
    fences.push([`before ${name}`, at - FENCE], [`behind ${name}`, at + bytes])
    return at
  }
  const tensor = (name: string, length: number, values?: Input): Elements => {
    const type = arrayType(op, name, precision, values)
    return new type(
      memory.buffer as ArrayBufferLike as ArrayBuffer,
      take(name, length * type.BYTES_PER_ELEMENT),
      length,
    )
  }
  const inputs: Results = {}
  for (const [name, values] of Object.entries(c.inputs)) {
    inputs[name] = tensor(name, values.length, values)
    inputs[name].set(values)
  }
  const outputs: Results = {}
  for (const [name, length] of Object.entries(c.outputs)) outputs[name] = tensor(name, length)
  const scratch = take('scratch', scratchOf(c))
  const before = Object.values(inputs).map(copy)
  const chain = op.chain?.({ ...args }) ?? 1
  for (const [from, to] of only ? [only] : ranges(unitsOf(c), chain, cuts)) {
    const fault = call({ ...inputs, ...outputs }, { ...args }, from, to, scratch)
    if (fault !== undefined) throw new Error(JSON.stringify(fault))
  }
  const broken = fences.filter(([, at]) => {
    // at least up to the next multiple of ALIGN, and from there on a whole fence
    return new Uint8Array(memory.buffer, at, FENCE).some(byte => byte !== FENCE_BYTE)
  })
  const changed = Object.values(inputs).flatMap((values, index) =>
    Buffer.compare(bytesOf(values), bytesOf(before[index])) === 0 ? [] : [Object.keys(inputs)[index]],
  )
  return {
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, copy(values)])),
    touched: [...broken.map(([name]) => name), ...changed],
  }
}

function arrayType(op: Op, name: string, precision: Precision, values?: Input) {
  const [, type] = op.tensors[name].split(':')
  if (type === 'elements' && values instanceof Uint8Array) return Uint8Array
  if (type === 'int32') return Int32Array
  if (type === 'uint8') return Uint8Array
  return type === 'float64' || precision === 'float64' ? Float64Array : Float32Array
}

function copy(values: Elements): Elements {
  return values.slice()
}

function bytesOf({ buffer, byteOffset, byteLength }: Elements): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** The first one is the truth. */
export const RUNNERS: readonly Runner[] = [
  { name: 'float64', precision: 'float64', wasm: false, run: (c, o) => run(c, 'float64', plainKernel(c), o) },
  { name: 'float32', precision: 'float32', wasm: false, run: (c, o) => run(c, 'float32', plainKernel(c), o) },
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(variantRunner),
]
