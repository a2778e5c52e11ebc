/** Whole programs of requests on this thread, with the steps that write their answers: planned, placed, filled and run. */
import { ENDPOINTS } from '../src/endpoints/index.ts'
import { Arena, TASK_STATE_BYTES, WordPool } from '../src/engine/arena.ts'
import type { CostModel } from '../src/engine/cost-model.ts'
import { planMemory } from '../src/engine/memory-plan.ts'
import { planSegment, Segment } from '../src/engine/segment.ts'
import { jsonTree } from '../src/formats/body.ts'
import type { RequestProgram } from '../src/layers/program-builder.ts'
import { type Numerics, replyStyle, WINDOW_UNITS } from '../src/pipeline/reply.ts'
import { type Compiled, compileAtOnce, parse } from '../src/pipeline/serve.ts'
import { singleStep } from '../src/program.ts'
import { CLAIM_TABLE_BYTES } from '../workers/claim-table.ts'
import { type Step, type Task, VIEWS } from '../workers/contract.ts'
import { opTable } from '../workers/ops/table.ts'
import { runTask } from '../workers/run-segment.ts'
import { scanJson } from '../workers/text/json-scan.ts'
import { createTextKernels, PASS_BYTES } from '../workers/text/text-kernels.ts'
import { SimdModule } from '../workers/wasm/simd-module.ts'
import type { PlanCase } from './plan-cases.ts'

/** Runs are repeated for this much of the thread's time, and again when the code has become faster. */
const BUDGET_MS = 60
/** The most of it. */
const MOST_MS = 800
/** The largest program, with its body and answer. */
const MEMORY_BYTES = 1.5 * 2 ** 30

const arena = new Arena(MEMORY_BYTES)
const { memory } = arena
const text = createTextKernels(memory)
const ops = opTable(new SimdModule(memory, 'wide'), text)
const context = {
  memory,
  lowLatency: new WordPool(arena, 1, 4).take(),
  claimTables: new WordPool(arena, 4, CLAIM_TABLE_BYTES),
}
const state = new WordPool(arena, 1, TASK_STATE_BYTES).take()
const work = room(PASS_BYTES).offset

function room(bytes: number) {
  const region = arena.allocate(bytes)
  if (region === undefined) throw new Error(`no memory for ${bytes} bytes`)
  return region
}

const NUMBERS = Float32Array.from({ length: 10_007 }, (_, i) => Math.sin(i * 1.3 + 1e-4 * i * i))

/** A request's program, placed. */
export class PlanRun implements Disposable {
  readonly program: RequestProgram
  readonly #case: PlanCase
  readonly #regions: { offset: number; bytes: number }[] = []
  readonly #placement: {
    buffers: { type: keyof typeof VIEWS; offset: number; length: number }[]
    scratch: number[]
  }
  readonly #costModel: CostModel

  constructor(planCase: PlanCase, costModel: CostModel) {
    this.#case = planCase
    this.#costModel = costModel
    const { program } = this.#compile()
    this.program = program
    const { offsets, bytes } = planMemory(program)
    const region = this.#room(bytes)
    const scratch = this.#room(program.scratchBytes).offset
    const buffers = program.buffers.map(({ type, length, at }, index) => ({
      type,
      length,
      offset: at ?? region.offset + offsets[index],
    }))
    this.#placement = { buffers, scratch: [scratch] }
  }

  #room(bytes: number) {
    const region = room(bytes)
    this.#regions.push(region)
    return region
  }

  #compile(): Compiled {
    const { path, body, elements, format = 'json' } = this.#case
    const endpoint = ENDPOINTS.find(each => each.path === path)
    if (endpoint === undefined) throw new Error(`no endpoint ${path}`)
    let request: unknown
    if (elements) {
      const json = Buffer.from(JSON.stringify(body))
      const bytes = new Uint8Array(memory.buffer, this.#room(json.length).offset, json.length)
      bytes.set(json)
      request = parse(endpoint.request, jsonTree(bytes, scanJson(text, bytes, work)))
    } else request = parse(endpoint.shapes, body)
    return compileAtOnce(endpoint, request, replyStyle(request as Numerics, format))
  }

  /** Estimated seconds on one worker. */
  get planned(): number {
    const { seconds, later } = this.#costModel.cost(this.program)
    return seconds + later
  }

  /** Seconds of the best run. */
  measure(): number {
    return bestSeconds(
      () => this.#run(),
      BUDGET_MS,
      () => this.#fill(),
    )
  }

  /** What is there before the first stage: constants, and what a request would have brought. */
  #fill(): void {
    const { buffers } = this.#placement
    const { nonFinite } = this.program
    for (const [index, { data, preloaded }] of this.program.buffers.entries()) {
      if (data === undefined && !preloaded) continue
      const { type, offset, length } = buffers[index]
      const view = new VIEWS[type](memory.buffer, offset, length)
      if (index === nonFinite) view[0] = Number(this.#case.nonFinite ?? false)
      else if (data !== undefined) view.set(data)
      else if (this.#case.alike) view.fill(0.5)
      else if (type === 'uint8') view.fill(1).subarray(0, 20).fill(0)
      else for (let at = 0; at < length; at += NUMBERS.length) view.set(NUMBERS.subarray(0, length - at), at)
    }
  }

  #run(): void {
    const { program } = this
    this.#runProgram(program)
    for (const step of program.later) {
      for (const window of windowsOf(step)) this.#runProgram(singleStep(program, window))
    }
  }

  #runProgram(program: Parameters<CostModel['cost']>[0]): void {
    const placement = this.#placement
    const cost = this.#costModel.cost(program)
    let at = { stage: 0, step: 0, passed: 0 }
    while (at.stage < program.stages.length) {
      const plan = planSegment({ program, placement, cost }, at, program.stages.length, 1)
      at = plan.next
      if (plan.costs.length === 0) continue
      const segment = new Segment(plan, placement.buffers, context)
      segment.begin()
      const task: Task = JSON.parse(segment.text({ scratch: placement.scratch[0], state, wakes: [] }))
      const result = runTask(memory, ops, task)
      segment.end()
      if (!result.ok) throw new Error(JSON.stringify(result))
    }
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions) arena.free(region)
  }
}

/** The thread's own time, which advances in ticks of some milliseconds, is exact enough for so much of it. */
const TELLING_MS = 25

/** Of the best run, or of the runs' mean by the thread's own time, because others may use the core too. */
function bestSeconds(run: () => void, budgetMs: number, prepare = () => {}): number {
  let best = Number.POSITIVE_INFINITY
  /** since the best last became much better: on the way to optimised code */
  let [own, runs] = [0, 0]
  let spent = 0
  do {
    prepare()
    const before = process.threadCpuUsage()
    const begin = performance.now()
    run()
    const milliseconds = performance.now() - begin
    const { user, system } = process.threadCpuUsage(before)
    if (milliseconds < 0.8 * best) [own, runs] = [0, 0]
    best = Math.min(best, milliseconds)
    own += (user + system) / 1000
    spent += (user + system) / 1000
    runs++
  } while ((own < budgetMs && spent < MOST_MS) || runs < 2)
  return (own > TELLING_MS ? Math.min(best, own / runs) : best) / 1000
}

/** A large answer is written some units at a time, into the same slots. */
function windowsOf(step: Step): Step[] {
  const windows: Step[] = []
  for (let from = 0; from < step.units; from += WINDOW_UNITS) {
    const units = Math.min(WINDOW_UNITS, step.units - from)
    windows.push({ ...step, units, args: { ...step.args, firstUnit: from } } as Step)
  }
  return windows
}
