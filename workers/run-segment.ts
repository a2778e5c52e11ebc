/** A worker's part in a segment: it claims units of its steps until none is left, or until it is preempted. */
import { ClaimTable, wake } from './claim-table.ts'
import {
  type BufferView,
  type Fault,
  type Ref,
  type Remainder,
  type StepCall,
  TASK_STATE,
  type Task,
  type TaskResult,
  VIEWS,
  type Work,
} from './contract.ts'
import type { Operations } from './ops/table.ts'

/** What goes wrong comes back as data. */
export function runTask(memory: WebAssembly.Memory, ops: Operations, task: Task): TaskResult {
  for (const wakeWord of task.wakes) wake(memory, wakeWord)
  const state = new Int32Array(memory.buffer, task.state, 2)
  Atomics.store(state, 0, TASK_STATE.running)
  const assignment = new Assignment(memory, ops, task, () => Atomics.add(state, 1, 1))
  const { work } = assignment
  try {
    const { fault, remainder } = assignment.run()
    if (fault !== undefined) {
      Atomics.store(state, 0, TASK_STATE.faulted)
      return { ok: false, ...fault, ...work }
    }
    if (remainder !== undefined) return { ok: true, remainder, ...work }
    Atomics.store(state, 0, TASK_STATE.done)
    return { ok: true, ...work }
  } catch (error) {
    assignment.claims.stop()
    return {
      ok: false,
      crash: error instanceof Error ? (error.stack ?? error.message) : String(error),
      ...work,
    }
  }
}

/** How an assignment ended, where there was not simply nothing left to be claimed. */
interface Ended {
  fault?: { fault: Fault; step: number }
  remainder?: Remainder
}

class Assignment {
  readonly claims: ClaimTable
  readonly work: Work = { spans: {}, speed: {} }
  readonly #task: Task
  readonly #ops: Operations
  readonly #calls: StepCall[]
  readonly #views: BufferView[]
  readonly #lowLatency: Int32Array
  /** tells the watchdog that this worker has not hung */
  readonly #polled: () => void

  constructor(memory: WebAssembly.Memory, ops: Operations, task: Task, polled: () => void) {
    this.#polled = polled
    this.claims = new ClaimTable(memory, task.claimTable, task.stages)
    this.#task = task
    this.#ops = ops
    this.#calls = task.stages.flat()
    this.#views = task.buffers.map(
      ({ type, offset, length }) => new VIEWS[type](memory.buffer, offset, length),
    )
    this.#lowLatency = new Int32Array(memory.buffer, task.lowLatency, 1)
  }

  run(): Ended {
    const { stages, team, remainder } = this.#task
    let ended = remainder && this.#do(remainder)
    let step = 0
    for (const [stage, calls] of stages.entries()) {
      for (const call of calls) {
        while (ended === undefined) {
          const claim = this.claims.claim(step, call, call.min, this.#grain(call), team)
          if (claim === undefined) break
          ended = this.#do({ stage, step, from: claim[0], to: claim[1] })
        }
        step++
      }
      if (ended !== undefined) return ended
      if (stage < stages.length - 1 && !this.claims.await(stage, this.#polled)) return {}
    }
    return {}
  }

  /** Runs claimed units a grain at a time, and polls in between; undefined where it may go on. */
  #do({ stage, step, from, to }: Remainder): Ended | undefined {
    const call = this.#calls[step]
    for (let at = from; at < to; ) {
      const end = Math.min(to, at + this.#grain(call))
      const fault = this.#call(call, at, end)
      if (fault !== undefined) {
        this.claims.stop()
        return { fault: { fault, step } }
      }
      this.claims.count(stage, end - at)
      at = end
      this.#polled()
      if (this.claims.shouldYield()) return at < to ? { remainder: { stage, step, from: at, to } } : {}
    }
    return undefined
  }

  #grain({ max, lowLatency }: StepCall): number {
    return Atomics.load(this.#lowLatency, 0) === 0 ? max : lowLatency
  }

  #call(call: StepCall, from: number, to: number): Fault | undefined {
    const begin = now()
    const views = this.#views
    const tensors: Record<string, BufferView> = {}
    for (const [name, ref] of Object.entries<Ref>(call.tensors)) tensors[name] = views[ref]
    const nonFinite = call.nonFinite !== undefined && views[call.nonFinite][0] !== 0
    const args = nonFinite ? { ...call.args, nonFinite } : call.args
    const fault = this.#ops[call.precision][call.op](tensors, args, from, to, this.#task.scratch)
    const end = now()
    const { spans } = this.work
    spans[call.phase] = [spans[call.phase]?.[0] ?? begin, end]
    if (call.phase === 'compute') {
      const { speed } = this.work
      speed[call.precision] ??= { flops: 0, seconds: 0 }
      speed[call.precision]!.flops += call.flops * (to - from)
      speed[call.precision]!.seconds += (end - begin) / 1000
    }
    return fault as Fault | undefined
  }
}

/** Milliseconds since the epoch, comparable between threads. */
function now(): number {
  return performance.timeOrigin + performance.now()
}
