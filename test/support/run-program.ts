/** Runs a request's program in this thread: parsed and compiled as it is served, and run without a server around it. */

import { ENDPOINTS } from '../../src/endpoints/index.ts'
import { planMemory } from '../../src/engine/memory-plan.ts'
import { jsonTree } from '../../src/formats/body.ts'
import type { RequestProgram } from '../../src/layers/program-builder.ts'
import { type Numerics, replyStyle } from '../../src/pipeline/reply.ts'
import { compileAtOnce, parse } from '../../src/pipeline/serve.ts'
import { type BufferView, VIEWS } from '../../workers/contract.ts'
import { PAGE } from '../../workers/layout.ts'
import { opTable } from '../../workers/ops/table.ts'
import { scanJson } from '../../workers/text/json-scan.ts'
import { createTextKernels } from '../../workers/text/text-kernels.ts'
import { SimdModule } from '../../workers/wasm/simd-module.ts'

/** What stands behind a program's memory, before and after. */
const FENCE = 0xa5
const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true })
const text = createTextKernels(memory)
const ops = opTable(new SimdModule(memory, 'simd128'), text)
/** the end of page 0 */
const WORK = PAGE - 128

export interface Result {
  /** by name: `output`, `grads.params.w_q`, … */
  tensors: Record<string, { shape: number[]; data: number[] }>
  loss: number | undefined
  /** every single number, by name */
  scalars: Record<string, number>
  /** bytes of the program's buffers */
  bytes: number
  program: RequestProgram
}

/** `body` is any JSON value with numbers in it; memory is NaN wherever nothing was written. Steps run in at most `unitsAtATime` units at once. */
export async function runProgram(path: string, body: unknown, unitsAtATime = Infinity): Promise<Result> {
  const endpoint = ENDPOINTS.find(each => each.path === path)
  if (endpoint === undefined) throw new Error(`no endpoint ${path}`)
  const json = Buffer.from(JSON.stringify(body))
  const bytes = new Uint8Array(memory.buffer, PAGE, json.length)
  bytes.set(json)
  const request = parse(endpoint.request, jsonTree(bytes, scanJson(text, bytes, WORK)))
  const { program } = compileAtOnce(endpoint, request, replyStyle(request as Numerics, 'json'))
  const start = Math.ceil((PAGE + json.length) / 64) * 64
  return { ...execute(program, start, unitsAtATime), program }
}

export function execute(
  program: RequestProgram,
  start: number,
  unitsAtATime: number,
): Omit<Result, 'program'> {
  const plan = planMemory(program)
  const scratch = start + plan.bytes
  if (scratch + program.scratchBytes > memory.buffer.byteLength - 2 * PAGE)
    throw new Error('too large for this test')
  new Uint8Array(memory.buffer, start, plan.bytes + program.scratchBytes).fill(0xff)
  const fence = new Uint8Array(memory.buffer, scratch + program.scratchBytes, PAGE).fill(FENCE)
  const views: BufferView[] = program.buffers.map(({ type, length, at, data }, index) => {
    const view = new VIEWS[type](memory.buffer, at ?? start + plan.offsets[index], length)
    if (data !== undefined) view.set(data)
    return view
  })
  for (const step of program.stages.flat()) {
    const tensors: Record<string, BufferView> = {}
    for (const [name, ref] of Object.entries<number | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = views[ref]
    }
    const nonFinite = step.nonFinite !== undefined && views[step.nonFinite][0] !== 0
    const args = { ...step.args, ...(nonFinite && { nonFinite }) }
    for (let from = 0; from < step.units; from += unitsAtATime) {
      const to = Math.min(from + unitsAtATime, step.units)
      const fault = ops[step.precision][step.op](tensors, args, from, to, scratch)
      if (fault !== undefined) throw new Error(`${step.op}: ${JSON.stringify(fault)}`)
    }
  }
  if (fence.some(byte => byte !== FENCE)) throw new Error('a kernel wrote beyond its program’s memory')
  const tensors = program.outputs.map(({ name, buffer, shape }) => [
    name,
    { shape, data: Array.from(views[buffer] as Float64Array) },
  ])
  const scalars = Object.fromEntries(
    program.scalars.map(({ name, buffer, index }) => [name, views[buffer][index]]),
  )
  return {
    tensors: Object.fromEntries(tensors),
    loss: scalars.loss,
    scalars,
    bytes: plan.bytes,
  }
}
