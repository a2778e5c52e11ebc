/**
 * A segment: a run of a program's stages that a team of workers goes through together, without this thread in between. It
 * ends at a barrier at the latest, and is short enough to cross as text.
 */

import { ClaimTable, MAX_STEPS } from '../../workers/claim-table.ts'
import type { BufferPlace, Ref, Remainder, Step, StepCall, Task } from '../../workers/contract.ts'
import type { WordPool } from './arena.ts'
import type { PlacedProgram } from './placement.ts'

/** What is cheaper than this between two barriers (without barriers: the program) is one worker's, as one segment. */
export const SOLO_SECONDS = 0.002
/** Segments of a longer way end when a team has been at them for about this time, and the next is chosen among what waits. */
const SEGMENT_SECONDS = 0.1
/** A worker that would have less to do than this is not worth waking. */
const SHARE_SECONDS = 0.0005

/** What segments need of the engine. */
export interface SegmentContext {
  memory: WebAssembly.Memory
  claimTables: WordPool
  /** byte offset of the word that is not 0 in low-latency mode */
  lowLatency: number
}

type OwnTask = Pick<Task, 'scratch' | 'state' | 'wakes' | 'remainder'>

export class Segment {
  readonly stages: Step[][]
  /** the most workers that may be at it */
  readonly team: number
  /** the units that workers claimed and left undone */
  readonly remainders: Remainder[] = []
  /** workers that are asked to leave and have not left yet */
  preempted = 0
  readonly #context: SegmentContext
  readonly #costs: Float64Array
  readonly #buffers: BufferPlace[]
  /** while workers are at it */
  #claims: { offset: number; table: ClaimTable } | undefined
  #calls: Omit<Task, keyof OwnTask> | undefined
  #text: string | undefined

  constructor({ stages, team, costs }: SegmentPlan, buffers: BufferPlace[], context: SegmentContext) {
    this.stages = stages
    this.team = team
    this.#costs = costs
    this.#buffers = buffers
    this.#context = context
  }

  /** Whether another worker would find something to do. */
  get open(): boolean {
    if (this.#claims === undefined) return !this.#context.claimTables.empty
    return this.remainders.length > 0 || this.#claims.table.claimable
  }

  get complete(): boolean {
    return this.#claims?.table.complete ?? false
  }

  /** Takes a claim table, when the first worker comes. */
  begin(): void {
    if (this.#claims !== undefined) return
    const { memory, claimTables, lowLatency } = this.#context
    const offset = claimTables.take()
    this.#claims = { offset, table: new ClaimTable(memory, offset, this.stages) }
    this.#claims.table.reset()
    const calls = stepCalls(this.stages, this.#buffers, this.#costs)
    this.#calls = { ...calls, team: this.team, claimTable: offset, lowLatency }
  }

  /** A worker's task at the segment: tasks differ only in what each has of its `own`. */
  task(own: OwnTask): Task {
    return { ...(this.#calls as Omit<Task, keyof OwnTask>), ...own }
  }

  /** The same as text. */
  text(own: OwnTask): string {
    this.#text ??= JSON.stringify(this.#calls).slice(0, -1)
    return `${this.#text},${JSON.stringify(own).slice(1)}`
  }

  /** What has been done does not count: the segment is to be gone through from its beginning. */
  restart(): void {
    this.#claims?.table.reset()
  }

  /** A worker is wanted elsewhere: the first that polls leaves. */
  requestPreemption(): void {
    this.preempted++
    this.#claims?.table.requestPreemption()
  }

  /** A worker has left; if it was not asked to, the request was answered all the same. */
  preemptionAnswered(): void {
    if (this.preempted === 0) return
    this.preempted--
    this.#claims?.table.capPreemptions(this.preempted)
  }

  stop(): void {
    this.#claims?.table.stop()
  }

  /** No worker is at it any more, and none will be. */
  end(): void {
    if (this.#claims !== undefined) this.#context.claimTables.giveBack(this.#claims.offset)
    this.#claims = undefined
  }
}

/** A place between two steps of a program. */
export interface Progress {
  stage: number
  /** of the stage's steps, which are independent of each other */
  step: number
  /** steps before it, over all stages */
  passed: number
}

/** Steps that make a segment. */
export interface SegmentPlan {
  stages: Step[][]
  /** estimated seconds of each step */
  costs: Float64Array
  /** the most workers that are worth their waking */
  team: number
  /** where it ends */
  next: Progress
}

/** The segment from `at` on, up to the end of the stage before `end` at most. */
export function planSegment(
  { program: { stages }, cost }: PlacedProgram,
  at: Progress,
  end: number,
  threads: number,
): SegmentPlan {
  const most = Math.max(SOLO_SECONDS, SEGMENT_SECONDS * threads)
  const taken: Step[][] = []
  let next = at
  let steps = 0
  let seconds = 0
  let ahead = 0
  let passed = at.passed
  for (let stage = at.stage; stage < end && ahead <= most; stage++) {
    const left = stage === at.stage ? stages[stage].slice(at.step) : stages[stage]
    let stageSeconds = 0
    for (let step = 0; step < left.length; step++) stageSeconds += cost.steps[passed++]
    ahead += stageSeconds
    const room = MAX_STEPS - steps
    steps += Math.max(1, left.length)
    if (steps > MAX_STEPS && taken.length > 0) continue
    seconds = ahead
    if (left.length <= room) {
      taken.push(left)
      next = { stage: stage + 1, step: 0, passed }
    } else {
      taken.push(left.slice(0, room))
      next = { stage, step: next.step + room, passed: next.passed + room }
    }
  }
  return {
    stages: taken,
    costs: cost.steps.subarray(at.passed, next.passed),
    team: ahead <= SOLO_SECONDS ? 1 : Math.min(threads, Math.ceil(seconds / SHARE_SECONDS)),
    next,
  }
}

/** The steps of a segment as workers get them, and of the program's buffers only those they name: a stack has hundreds. */
function stepCalls(
  stages: Step[][],
  buffers: BufferPlace[],
  costs: Float64Array,
): Pick<Task, 'buffers' | 'stages'> {
  const places: BufferPlace[] = []
  const known = new Map<Ref, Ref>()
  const local = (ref: Ref): Ref => {
    let index = known.get(ref)
    if (index === undefined) {
      index = places.push(buffers[ref]) - 1
      known.set(ref, index)
    }
    return index
  }
  let at = 0
  const call = (step: Step): StepCall => {
    const { op, args, precision, phase, nonFinite, units, chain, group } = step
    const tensors: Record<string, Ref> = {}
    for (const [name, ref] of Object.entries<Ref | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = local(ref)
    }
    return {
      op,
      args,
      precision,
      phase,
      tensors,
      nonFinite: nonFinite === undefined ? undefined : local(nonFinite),
      units,
      chain,
      group,
      nanoseconds: Math.ceil((costs[at++] * 1e9) / units),
    } as StepCall
  }
  return { stages: stages.map(stage => stage.map(call)), buffers: places }
}
