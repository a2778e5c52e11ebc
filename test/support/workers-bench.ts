/**
 * Workers without threads, for tests of the scheduler: what is dispatched to them waits until it is their turn, and they
 * then run it like a real worker, but with a clock of their own and one operation that does nothing.
 */
import { vi } from 'vitest'
import { Arena, TASK_STATE_BYTES, WordPool } from '../../src/engine/arena.ts'
import { BriefJobs } from '../../src/engine/brief-jobs.ts'
import { CostModel } from '../../src/engine/cost-model.ts'
import type { OnBarrier } from '../../src/engine/job.ts'
import { Scheduler } from '../../src/engine/scheduler.ts'
import type { Program } from '../../src/program.ts'
import { CLAIM_TABLE_BYTES } from '../../workers/claim-table.ts'
import type { Step, Task, TaskResult } from '../../workers/contract.ts'
import type { Message, Reply } from '../../workers/main.ts'
import type { Operations } from '../../workers/ops/table.ts'
import { runTask } from '../../workers/run-segment.ts'

export const never = new AbortController().signal

/** What an operation was called with: its stage (or the number that its step was given), and its range. */
export interface Call {
  stage: number
  from: number
  to: number
  /** how long it takes */
  ms: number
}

/** A message to a worker that is not answered yet. */
export interface Sent {
  slot: number
  quiet: boolean
  tasks: Task[]
  answer(reply: Reply): void
  fail(error: Error): void
}

/** A step that takes `seconds` on one worker. */
export function step(seconds: number, units: number, chain = 1, stage = 0): Step {
  return {
    op: 'lossTotal',
    tensors: { scalars: 0 },
    // which stage it is, and how long a unit takes
    args: { partials: 0, rows: stage, entropyWeight: seconds / units },
    precision: 'float64',
    phase: 'compute',
    units,
    chain,
    flops: 0,
    nanoseconds: seconds * 1e9,
  }
}

export function programOf(stages: Step[][], barriers: number[] = []): Program {
  return {
    buffers: [],
    scratchBytes: 0,
    stages,
    barriers: barriers.map(stage => ({ stage, buffers: [] })),
  }
}

/** A program of one step that takes `seconds` on one worker. */
export function program(seconds: number, units: number, chain = 1): Program {
  return programOf([[step(seconds, units, chain)]])
}

/** A stage for each of the times, with barriers after some of them. */
export function withBarriers(seconds: number[], barriers: number[], units = 1): Program {
  return programOf(
    seconds.map((each, stage) => [step(each, units, 1, stage)]),
    barriers,
  )
}

/** `here`: brief jobs are run where they are submitted. */
export function workersBench(count: number, { claimTables = 64, here = false } = {}) {
  const arena = new Arena(1 << 22)
  const sent: Sent[] = []
  const calls: Call[] = []
  const hooks: { onCall?: (call: Call) => void } = {}
  const lost: string[] = []
  const replaced: number[] = []
  const operation = (_: object, args: object, from: number, to: number) => {
    const { rows: stage, entropyWeight: seconds } = args as { rows: number; entropyWeight: number }
    const call = { stage, from, to, ms: 1000 * seconds * (to - from) }
    calls.push(call)
    hooks.onCall?.(call)
    return undefined
  }
  const ops = { float64: { lossTotal: operation } } as unknown as Operations
  const slots = {
    count,
    ready: true,
    available: () => true,
    loaded: () => true,
    replace: (slot: number) => void replaced.push(slot),
    wakeWord: (slot: number) => 1000 + slot,
    post(slot: number, message: Message, quiet: boolean): Promise<Reply> {
      const { promise, resolve, reject } = Promise.withResolvers<Reply>()
      const tasks = typeof message === 'string' ? (JSON.parse(message) as Task[]) : []
      sent.push({ slot, quiet, tasks, answer: resolve, fail: reject })
      return promise
    },
  }
  const words = (places: number, bytes: number) => new WordPool(arena, places, bytes)
  const costModel = new CostModel()
  const context = {
    memory: arena.memory,
    threads: count,
    costModel,
    claimTables: words(claimTables, CLAIM_TABLE_BYTES),
    lowLatency: words(1, 4).take(),
  }
  const briefJobs = here ? new BriefJobs(task => run(task), words(1, TASK_STATE_BYTES).take()) : undefined
  const scheduler = new Scheduler(slots, context, words(64, TASK_STATE_BYTES), {
    lost: reason => lost.push(reason),
    here: briefJobs,
  })
  const placement = {
    buffers: [{ type: 'float64' as const, offset: 65536, length: 1 }],
    scratch: Array(count).fill(0),
  }
  /** The task, as a worker would run it. */
  const run = (task: Task): TaskResult => runTask(arena.memory, ops, { ...task, wakes: [] })
  return {
    scheduler,
    briefJobs,
    sent,
    calls,
    hooks,
    lost,
    replaced,
    run,
    submit: (p: Program, signal = never, onBarrier?: OnBarrier, group?: string) =>
      scheduler.submit({ program: p, placement, cost: costModel.cost(p), group }, signal, onBarrier),
    /** Says in a task's state how far its worker is. */
    setState(task: Task, state: number): void {
      new Int32Array(arena.memory.buffer, task.state, 1)[0] = state
    },
    /** Says how often a task's worker has polled. */
    setPolls(task: Task, polls: number): void {
      new Int32Array(arena.memory.buffer, task.state, 2)[1] = polls
    },
    /** Lets the oldest message be run and answered; the operation's calls since the last turn. */
    async turn(): Promise<Call[]> {
      const next = sent.shift()
      next?.answer(next.tasks.map(run))
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

/** One worker, whose calls take the time that they say of a stopped clock. */
export function benchWithClock() {
  const own = workersBench(1)
  let now = 0
  own.hooks.onCall = ({ ms }: Call) => {
    now += ms
    vi.advanceTimersByTime(ms)
  }
  return { ...own, clock: () => now }
}
