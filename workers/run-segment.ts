/** A worker's part in a leg: it claims units of its steps until none is left, or until it is wanted elsewhere. */
import { Board } from './claim-table.ts'
import type { Operations } from './ops/table.ts'
import { type Rest, ring, type StepCall, type Task, type TaskResult, TICKET, type Work } from './program.ts'
import type { Fault, Ref } from './task.ts'
import { type BufferView, bufferView } from './views.ts'

/** What goes wrong comes back as data. */
export function runTask(memory: WebAssembly.Memory, ops: Operations, task: Task): TaskResult {
  for (const bell of task.ring) ring(memory, bell)
  const ticket = new Int32Array(memory.buffer, task.ticket, 1)
  Atomics.store(ticket, 0, TICKET.running)
  const part = new Part(memory, ops, task)
  const { work } = part
  try {
    const { fault, rest } = part.run()
    if (fault !== undefined) {
      Atomics.store(ticket, 0, TICKET.refused)
      return { ok: false, ...fault, ...work }
    }
    if (rest !== undefined) return { ok: true, rest, ...work }
    Atomics.store(ticket, 0, TICKET.done)
    return { ok: true, ...work }
  } catch (error) {
    part.board.stop()
    return {
      ok: false,
      crash: error instanceof Error ? (error.stack ?? error.message) : String(error),
      ...work,
    }
  }
}

/** How a part ended, where there was not simply nothing left to be claimed. */
interface Ended {
  fault?: { fault: Fault; step: number }
  rest?: Rest
}

class Part {
  readonly board: Board
  readonly work: Work = { spans: {}, speed: {} }
  readonly #task: Task
  readonly #ops: Operations
  readonly #calls: StepCall[]
  readonly #views: BufferView[]
  readonly #hurry: Int32Array

  constructor(memory: WebAssembly.Memory, ops: Operations, task: Task) {
    this.board = new Board(memory, task.board, task.stages)
    this.#task = task
    this.#ops = ops
    this.#calls = task.stages.flat()
    this.#views = task.buffers.map(place => bufferView(memory, place))
    this.#hurry = new Int32Array(memory.buffer, task.hurry, 1)
  }

  run(): Ended {
    const { stages, crew, rest } = this.#task
    let ended = rest && this.#do(rest)
    let step = 0
    for (const [stage, calls] of stages.entries()) {
      for (const call of calls) {
        while (ended === undefined) {
          const claim = this.board.claim(step, call, call.least, this.#most(call), crew)
          if (claim === undefined) break
          ended = this.#do({ stage, step, from: claim[0], to: claim[1] })
        }
        step++
      }
      if (ended !== undefined) return ended
      if (stage < stages.length - 1 && !this.board.await(stage)) return {}
    }
    return {}
  }

  /** Does claimed units, a portion at a time, and looks up in between; undefined where it may go on. */
  #do({ stage, step, from, to }: Rest): Ended | undefined {
    const call = this.#calls[step]
    for (let at = from; at < to; ) {
      const end = Math.min(to, at + this.#most(call))
      const fault = this.#portion(call, at, end)
      if (fault !== undefined) {
        this.board.stop()
        return { fault: { fault, step } }
      }
      this.board.count(stage, end - at)
      at = end
      if (!this.board.mayStay()) return at < to ? { rest: { stage, step, from: at, to } } : {}
    }
    return undefined
  }

  #most({ most, hurried }: StepCall): number {
    return Atomics.load(this.#hurry, 0) === 0 ? most : hurried
  }

  #portion(call: StepCall, from: number, to: number): Fault | undefined {
    const begin = now()
    const views = this.#views
    const tensors: Record<string, BufferView> = {}
    for (const [name, ref] of Object.entries<Ref>(call.tensors)) tensors[name] = views[ref]
    const nonFinite = call.nonFinite !== undefined && views[call.nonFinite][0] !== 0
    // ops that are not in the list yet call it `careful`
    const args = nonFinite ? { ...call.args, nonFinite, careful: nonFinite } : call.args
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
