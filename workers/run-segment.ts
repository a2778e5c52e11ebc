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

/** Workers poll at this interval: what is cut finer shares less of what is prepared. */
const POLL_MS = 6
/** The same in low-latency mode: small jobs would have to wait for it. */
const LOW_LATENCY_MS = 1
/** A step's first portion is estimated to take no more than this, so that an estimate a hundred times too low does no harm. */
const FIRST_MS = 0.5
/** Claiming less than this costs more than it gains, … */
const MIN_CLAIM_MS = 0.15
/** … but where so little is left, it is shared in parts of at least this: until a stage has ended, the others of the team wait. */
const MIN_SHARE_MS = 0.02
/** Less than this says more about overhead than about the step. */
const TELLING_MS = 1

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
  readonly work: Work = { spans: {}, measured: [] }
  readonly #task: Task
  readonly #ops: Operations
  readonly #calls: StepCall[]
  readonly #views: BufferView[]
  readonly #lowLatency: Int32Array
  /** tells the watchdog that this worker has not hung */
  readonly #polled: () => void
  /** the step that it is at, the units of it that it has done, and the time they took */
  #at = -1
  #units = 0
  #milliseconds = 0
  /** of one unit of that step: as estimated, or as measured where that is more (its first units may be its cheapest) */
  #unitMs = 0

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
    const ended = this.#runStages()
    this.#tell()
    return ended
  }

  #runStages(): Ended {
    const { stages, team, remainder } = this.#task
    let ended = remainder && this.#do(remainder)
    let step = 0
    for (const [stage, calls] of stages.entries()) {
      for (const call of calls) {
        while (ended === undefined) {
          const unitMs = call.nanoseconds * 1e-6
          const [least, some] = [unitsIn(MIN_SHARE_MS, unitMs), unitsIn(MIN_CLAIM_MS, unitMs)]
          const claim = this.claims.claim(step, call, some, unitsIn(this.#pollMs, unitMs), team, least)
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

  /** Runs claimed units a portion at a time, and polls in between; undefined where it may go on. */
  #do({ stage, step, from, to }: Remainder): Ended | undefined {
    const call = this.#calls[step]
    this.#enter(step)
    for (let at = from; at < to; ) {
      const end = Math.min(to, at + this.#portion())
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

  /** The worker goes on to a step, of which it knows nothing but the estimate. */
  #enter(step: number): void {
    if (step === this.#at) return
    this.#tell()
    this.#at = step
    this.#units = 0
    this.#milliseconds = 0
    this.#unitMs = this.#calls[step].nanoseconds * 1e-6
  }

  /** Notes what the step took that it has been at. */
  #tell(): void {
    if (this.#milliseconds < TELLING_MS) return
    this.work.measured.push({ step: this.#at, units: this.#units, seconds: this.#milliseconds / 1000 })
  }

  /** The units that are run at once. */
  #portion(): number {
    return unitsIn(this.#units === 0 ? FIRST_MS : this.#pollMs, this.#unitMs)
  }

  get #pollMs(): number {
    return Atomics.load(this.#lowLatency, 0) === 0 ? POLL_MS : LOW_LATENCY_MS
  }

  #measure(units: number, milliseconds: number): void {
    this.#units += units
    this.#milliseconds += milliseconds
    this.#unitMs = Math.max(milliseconds / units, this.#calls[this.#at].nanoseconds * 1e-6)
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
    this.#measure(to - from, end - begin)
    return fault as Fault | undefined
  }
}

/** How many units of `unitMs` each take about `milliseconds`. */
function unitsIn(milliseconds: number, unitMs: number): number {
  return Math.max(1, Math.floor(milliseconds / unitMs))
}

/** Milliseconds since the epoch, comparable between threads. */
function now(): number {
  return performance.timeOrigin + performance.now()
}
