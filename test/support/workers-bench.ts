/**
 * Workers without threads, for tests of the scheduler: what crosses to them waits until it is their turn, and they then run
 * it like a real worker, but with a clock of their own and one operation that does nothing.
 */
import { vi } from 'vitest'
import { Arena } from '../../src/engine/arena.ts'
import { Speed } from '../../src/engine/cost-model.ts'
import type { Watch } from '../../src/engine/job.ts'
import { Scheduler } from '../../src/engine/scheduler.ts'
import { TICKET_BYTES } from '../../src/engine/task-state.ts'
import { Stock } from '../../src/engine/word-pool.ts'
import type { Program } from '../../src/program.ts'
import { BOARD_BYTES } from '../../workers/claim-table.ts'
import type { Message, Reply } from '../../workers/main.ts'
import type { Operations } from '../../workers/ops/table.ts'
import type { Step, Task, TaskResult } from '../../workers/program.ts'
import { runTask } from '../../workers/run-segment.ts'

export const never = new AbortController().signal
const FLOPS = new Speed().flops.float64

/** What an operation was called with: its stage (or whatever its step was given as a number), and its range. */
export interface Call {
  stage: number
  from: number
  to: number
  /** how long it takes */
  ms: number
}

export interface Crossing {
  seat: number
  quiet: boolean
  tasks: Task[]
  answer(reply: Reply): void
  fail(error: Error): void
}

/** A step of so many seconds on one worker. */
export function step(seconds: number, units: number, chain = 1, stage = 0): Step {
  return {
    op: 'lossTotal',
    tensors: { scalars: 0 },
    // which stage it is, and how long a unit takes
    args: { partials: 0, rows: stage, entropyWeight: seconds / units },
    ...{ precision: 'float64', phase: 'compute', units, chain, flops: seconds * FLOPS, bytes: 0 },
  }
}

export function programOf(stages: Step[][], marks: number[] = []): Program {
  return {
    ...{ buffers: [], scratchBytes: 0, stages },
    marks: marks.map(stage => ({ stage, buffers: [] })),
  }
}

/** A program of one step of so many seconds on one worker. */
export function program(seconds: number, units: number, chain = 1): Program {
  return programOf([[step(seconds, units, chain)]])
}

/** Stages of so many seconds each; marks after some of them. */
export function marked(seconds: number[], marks: number[], units = 1): Program {
  return programOf(
    seconds.map((each, stage) => [step(each, units, 1, stage)]),
    marks,
  )
}

export function workersBench(count: number, { boards = 64 } = {}) {
  const arena = new Arena(1 << 22)
  const crossings: Crossing[] = []
  const calls: Call[] = []
  const hooks: { onCall?: (call: Call) => void } = {}
  const lost: string[] = []
  const operation = (_: object, args: object, from: number, to: number) => {
    const { rows: stage, entropyWeight: seconds } = args as { rows: number; entropyWeight: number }
    const call = { stage, from, to, ms: 1000 * seconds * (to - from) }
    calls.push(call)
    hooks.onCall?.(call)
    return undefined
  }
  const ops = { float64: { lossTotal: operation } } as unknown as Operations
  const seats = {
    count,
    bell: (seat: number) => 1000 + seat,
    post(seat: number, message: Message, quiet: boolean): Promise<Reply> {
      const { promise, resolve, reject } = Promise.withResolvers<Reply>()
      const tasks = typeof message === 'string' ? (JSON.parse(message) as Task[]) : []
      crossings.push({ seat, quiet, tasks, answer: resolve, fail: reject })
      return promise
    },
  }
  const stock = (places: number, bytes: number) => new Stock(arena, places, bytes)
  const ground = {
    ...{ memory: arena.memory, threads: count },
    ...{ speed: new Speed(), boards: stock(boards, BOARD_BYTES), hurry: stock(1, 4).take() },
  }
  const scheduler = new Scheduler(seats, ground, stock(64, TICKET_BYTES), {
    lost: reason => lost.push(reason),
  })
  const placement = {
    buffers: [{ type: 'float64' as const, offset: 65536, length: 1 }],
    scratch: Array(count).fill(0),
  }
  /** The task, as a worker would run it. */
  const run = (task: Task): TaskResult => runTask(arena.memory, ops, { ...task, ring: [] })
  return {
    ...{ scheduler, crossings, calls, hooks, lost, run },
    submit: (p: Program, signal = never, watch?: Watch) => scheduler.submit(p, placement, signal, watch),
    /** Writes on a task's ticket how far its worker is. */
    punch(task: Task, state: number): void {
      new Int32Array(arena.memory.buffer, task.ticket, 1)[0] = state
    },
    /** Lets the oldest crossing be run and answered; the operation's calls since the last turn. */
    async turn(): Promise<Call[]> {
      const crossing = crossings.shift()
      crossing?.answer(crossing.tasks.map(run))
      await settle()
      return calls.splice(0)
    },
  }
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

/** A clock that only moves when it is told to. */
export function stopTheClock(): void {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
}
