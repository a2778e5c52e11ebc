/**
 * Approximations of attention beside exact attention: whole programs of `POST /v1/attention`, kernels and all that goes
 * with them, on one thread; one head of dimension 64. The crossover is the first length from which on an approximation
 * with its default parameters is the faster one.
 */

import { ENDPOINTS } from '../src/endpoints/index.ts'
import { planMemory } from '../src/engine/memory-plan.ts'
import { RequestProgram } from '../src/layers/program-builder.ts'
import { type BufferView, VIEWS } from '../workers/contract.ts'
import { opTable } from '../workers/ops/table.ts'
import { createTextKernels } from '../workers/text/text-kernels.ts'
import { SimdModule } from '../workers/wasm/simd-module.ts'
import { table } from './report.ts'

const LENGTHS = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
const KINDS = ['softmax', 'linear', 'lsh', 'local', 'strided', 'block'] as const
const DIM = 64
const BATCH_MS = 100
const BATCHES = 4

const PAGE = 65536
const memory = new WebAssembly.Memory({ initial: 8192, maximum: 8192, shared: true })
const ops = opTable(new SimdModule(memory, 'wide'), createTextKernels(memory)).float32
const endpoint = ENDPOINTS.find(({ path }) => path === '/v1/attention')

/** The program of a request that is shapes alone. */
function compile(length: number, kind: string, causal: boolean, backward: boolean): RequestProgram {
  const tensor = { shape: [1, 1, length, DIM] }
  const body = { q: tensor, k: tensor, v: tensor, causal, attention_kind: kind, return: ['output'] }
  return compileShapes(backward ? { ...body, backward: { grad_output: tensor } } : body)
}

export function compileShapes(request: object): RequestProgram {
  if (endpoint === undefined) throw new Error('no endpoint /v1/attention')
  const program = new RequestProgram('float32', 'reject')
  for (const _ of endpoint.compile(program, endpoint.shapes.parse(request)) ?? []);
  program.finish()
  return program
}

/** Every step of the program, whole, one after the other; its tensors stand from `first` on. */
export function runner(program: RequestProgram, first = PAGE, ownScratch?: number): () => void {
  const plan = planMemory(program)
  const scratch = ownScratch ?? first + plan.bytes
  const views: BufferView[] = program.buffers.map(({ type, length, data, preloaded }, index) => {
    const view = new VIEWS[type](memory.buffer, first + plan.offsets[index], length)
    if (data !== undefined) view.set(data)
    else if (preloaded) for (let i = 0; i < length; i++) view[i] = Math.random() - 0.5
    return view
  })
  const calls = program.stages.flat().map(({ op, args, units, tensors }) => {
    const named = Object.entries<number | undefined>(tensors).flatMap(([name, ref]) =>
      ref === undefined ? [] : [[name, views[ref]]],
    )
    return { run: ops[op], args, units, tensors: Object.fromEntries(named) }
  })
  return () => {
    for (const { run, args, units, tensors } of calls) run(tensors, args, 0, units, scratch)
  }
}

/**
 * The thread's own time, because others may use the core too. It advances by ticks of some milliseconds: short programs run
 * as often as it takes to fill a batch, and the best of several batches counts.
 */
export function bestMilliseconds(run: () => void): number {
  run()
  let best = Number.POSITIVE_INFINITY
  let runs = 1
  for (let batches = 0; batches < BATCHES; ) {
    const begin = process.threadCpuUsage()
    for (let i = 0; i < runs; i++) run()
    const { user, system } = process.threadCpuUsage(begin)
    const milliseconds = (user + system) / 1000
    if (milliseconds < BATCH_MS) runs *= 2
    else {
      best = Math.min(best, milliseconds / runs)
      batches += milliseconds > 10 * BATCH_MS ? BATCHES : 1
    }
  }
  return best
}

/** A table a pass and mask: milliseconds by length and kind, and from which length on each kind is faster. */
export function benchApproximations(): void {
  for (const backward of [false, true]) {
    for (const causal of [false, true]) {
      const times = LENGTHS.map(length =>
        KINDS.map(kind => bestMilliseconds(runner(compile(length, kind, causal, backward)))),
      )
      const crossovers = KINDS.slice(1).map((_, index) => {
        const last = times.findLastIndex(row => row[index + 1] >= row[0])
        return last + 1 < LENGTHS.length ? String(LENGTHS[last + 1]) : 'none'
      })
      const what = `${backward ? 'forward + backward' : 'forward'}${causal ? ', causal' : ''}`
      const rows = times.map((row, index) => [String(LENGTHS[index]), ...row.map(ms => ms.toFixed(2))])
      console.log(table([`N (${what})`, ...KINDS], [...rows, ['faster from', '', ...crossovers]]))
    }
  }
}
