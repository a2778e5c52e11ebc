/**
 * A segment: a run of a program's stages that a team of workers goes through together, without this thread in between. It
 * ends at a barrier at the latest, and is short enough to cross as text.
 */
import { ClaimTable, type Grain, MAX_STEPS } from '../../workers/claim-table.ts'
import type { Remainder, Step, StepCall, Task } from '../../workers/contract.ts'
import type { BufferPlace, Ref } from '../../workers/task.ts'
import type { Program } from '../program.ts'
import type { CostModel } from './cost-model.ts'
import type { WordPool } from './word-pool.ts'

/** What is cheaper than this between two barriers (without barriers: the program) is one worker's, as one segment. */
export const SOLO_SECONDS = 0.002
/** Segments of a longer way end when a team has been at them for about this time, and the next is chosen among what waits. */
const SEGMENT_SECONDS = 0.1
/** Workers poll at this interval: what is cut finer shares less of what is prepared. */
const GRAIN_SECONDS = 0.006
/** The same in low-latency mode: small jobs would have to wait for it. */
const LOW_LATENCY_SECONDS = 0.001
/** A worker that would have less to do than this is not worth waking. */
const SHARE_SECONDS = 0.0005
/** Claiming less than this costs more than it gains. */
const MIN_GRAIN_SECONDS = 0.00015

/** What segments need of the engine. */
export interface SegmentContext {
  memory: WebAssembly.Memory
  claimTables: WordPool
  costModel: CostModel
  /** byte offset of the word that is not 0 in low-latency mode */
  lowLatency: number
}

export class Segment {
  readonly stages: Step[][]
  /** the most workers that may be at it */
  readonly team: number
  /** the units that workers claimed and left undone */
  readonly remainders: Remainder[] = []
  /** workers that are asked to leave and have not left yet */
  preempted = 0
  readonly #context: SegmentContext
  readonly #buffers: BufferPlace[]
  /** while workers are at it */
  #claims: { offset: number; table: ClaimTable } | undefined
  #text = ''

  constructor(stages: Step[][], team: number, buffers: BufferPlace[], context: SegmentContext) {
    this.stages = stages
    this.team = team
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
    const { memory, claimTables, costModel, lowLatency } = this.#context
    const offset = claimTables.take()
    this.#claims = { offset, table: new ClaimTable(memory, offset, this.stages) }
    this.#claims.table.reset()
    const calls = callsOf(this.stages, this.#buffers, step => grainOf(step, costModel.seconds(step)))
    this.#text = JSON.stringify({ ...calls, team: this.team, claimTable: offset, lowLatency }).slice(0, -1)
  }

  /** A worker's task at the segment, as text: tasks differ only in what each has of its `own`. */
  text(own: Pick<Task, 'scratch' | 'state' | 'wakes' | 'remainder'>): string {
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
}

/** The steps from `at` on, up to the end of the stage before `end`, that make a segment; where it ends; the size of its team. */
export function planSegment(
  { stages }: Program,
  at: Progress,
  end: number,
  costModel: CostModel,
  threads: number,
): { stages: Step[][]; next: Progress; team: number } {
  const most = Math.max(SOLO_SECONDS, SEGMENT_SECONDS * threads)
  const taken: Step[][] = []
  let next = at
  let steps = 0
  let seconds = 0
  let ahead = 0
  for (let stage = at.stage; stage < end && ahead <= most; stage++) {
    const left = stages[stage].slice(stage === at.stage ? at.step : 0)
    ahead += left.reduce((sum, step) => sum + costModel.seconds(step), 0)
    const room = MAX_STEPS - steps
    steps += Math.max(1, left.length)
    if (steps > MAX_STEPS && taken.length > 0) continue
    taken.push(left.slice(0, room))
    seconds = ahead
    next = left.length <= room ? { stage: stage + 1, step: 0 } : { stage, step: next.step + room }
  }
  const team = ahead <= SOLO_SECONDS ? 1 : Math.min(threads, Math.ceil(seconds / SHARE_SECONDS))
  return { stages: taken, next, team }
}

function grainOf({ units }: Step, seconds: number): Grain {
  const unitsIn = (interval: number) => Math.max(1, Math.floor(units / Math.max(1, seconds / interval)))
  return {
    min: unitsIn(MIN_GRAIN_SECONDS),
    max: unitsIn(GRAIN_SECONDS),
    lowLatency: unitsIn(LOW_LATENCY_SECONDS),
  }
}

/** The steps as workers get them, and of the program's buffers only those they name: a stack has hundreds. */
function callsOf(
  stages: Step[][],
  buffers: BufferPlace[],
  grainOf: (step: Step) => Grain,
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
  const call = (step: Step): StepCall => {
    const { op, args, precision, phase, careful, units, chain, group } = step
    const tensors: Record<string, Ref> = {}
    for (const [name, ref] of Object.entries<Ref | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = local(ref)
    }
    const noted = careful === undefined ? undefined : local(careful)
    const flops = step.flops / units
    return {
      op,
      args,
      precision,
      phase,
      tensors,
      careful: noted,
      units,
      chain,
      group,
      flops,
      ...grainOf(step),
    } as StepCall
  }
  return { stages: stages.map(stage => stage.map(call)), buffers: places }
}
