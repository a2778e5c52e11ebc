/**
 * A leg: a run of a program's stages that a crew of workers goes through together, without this thread in between. It ends
 * at a mark at the latest, and is short enough to cross as text.
 */
import { BOARD_STEPS, Board, type Portion } from '../../workers/claim-table.ts'
import type { Rest, Step, StepCall, Task } from '../../workers/program.ts'
import type { BufferPlace, Ref } from '../../workers/task.ts'
import type { Program } from '../program.ts'
import type { Speed } from './cost-model.ts'
import type { Stock } from './word-pool.ts'

/** What is cheaper than this between two marks (without marks: the program) is one worker's, as one leg. */
export const LONE_SECONDS = 0.002
/** Legs of a longer way end when they have taken a crew about so long, to be chosen anew among what waits. */
const LEG_SECONDS = 0.1
/** A worker looks up so often whether it is wanted elsewhere: what is cut finer shares less of what is prepared. */
const PORTION_SECONDS = 0.006
/** … and so often while small jobs come, who would have to wait for it. */
const HURRIED_SECONDS = 0.001
/** A worker that would have less to do than this is not worth waking. */
const SHARE_SECONDS = 0.0005
/** Claiming less than this costs more than it gains. */
const LEAST_SECONDS = 0.00015

export class Leg {
  readonly stages: Step[][]
  /** so many workers may be at it */
  readonly crew: number
  /** the units that workers claimed and left undone */
  readonly rests: Rest[] = []
  /** workers that were called away and are not back yet */
  called = 0
  readonly #memory: WebAssembly.Memory
  readonly #boards: Stock
  #board: { offset: number; words: Board } | undefined
  #text = ''

  constructor(stages: Step[][], crew: number, memory: WebAssembly.Memory, boards: Stock) {
    this.stages = stages
    this.crew = crew
    this.#memory = memory
    this.#boards = boards
  }

  /** Whether another worker would find something to do. */
  get open(): boolean {
    if (this.#board === undefined) return !this.#boards.empty
    return this.rests.length > 0 || this.#board.words.claimable
  }

  get complete(): boolean {
    return this.#board?.words.complete ?? false
  }

  /** Once, before the first worker comes. */
  begin(buffers: BufferPlace[], { speed, hurry }: { speed: Speed; hurry: number }): void {
    if (this.#board !== undefined) return
    const offset = this.#boards.take()
    this.#board = { offset, words: new Board(this.#memory, offset, this.stages) }
    this.#board.words.open()
    const calls = callsOf(this.stages, buffers, step => portion(step, speed.seconds(step)))
    this.#text = JSON.stringify({ ...calls, crew: this.crew, board: offset, hurry }).slice(0, -1)
  }

  /** A worker's task at the leg, as text: they differ only in what each has of its `own`. */
  text(own: Pick<Task, 'scratch' | 'ticket' | 'ring' | 'rest'>): string {
    return `${this.#text},${JSON.stringify(own).slice(1)}`
  }

  /** What has been done does not count: the leg is to be gone through from its beginning. */
  again(): void {
    this.#board?.words.open()
  }

  /** A worker is wanted elsewhere: the first that looks up leaves. */
  call(): void {
    this.called++
    this.#board?.words.call()
  }

  /** A worker has come back; if nobody has called it, the call was for it all the same. */
  back(): void {
    if (this.called === 0) return
    this.called--
    this.#board?.words.keepCalls(this.called)
  }

  stop(): void {
    this.#board?.words.stop()
  }

  /** No worker is at it any more, and none will be. */
  end(): void {
    if (this.#board !== undefined) this.#boards.giveBack(this.#board.offset)
    this.#board = undefined
  }
}

/** A place between two steps of a program. */
export interface Progress {
  stage: number
  /** of the stage's steps, which are independent of each other */
  step: number
}

/** The steps from `at` on, up to the end of the stage before `end`, that make a leg; where it ends; how many workers it is for. */
export function planLeg(
  { stages }: Program,
  at: Progress,
  end: number,
  speed: Speed,
  threads: number,
): { stages: Step[][]; next: Progress; crew: number } {
  const most = Math.max(LONE_SECONDS, LEG_SECONDS * threads)
  const taken: Step[][] = []
  let next = at
  let steps = 0
  let seconds = 0
  let ahead = 0
  for (let stage = at.stage; stage < end && ahead <= most; stage++) {
    const left = stages[stage].slice(stage === at.stage ? at.step : 0)
    ahead += left.reduce((sum, step) => sum + speed.seconds(step), 0)
    const room = BOARD_STEPS - steps
    steps += Math.max(1, left.length)
    if (steps > BOARD_STEPS && taken.length > 0) continue
    taken.push(left.slice(0, room))
    seconds = ahead
    next = left.length <= room ? { stage: stage + 1, step: 0 } : { stage, step: next.step + room }
  }
  const crew = ahead <= LONE_SECONDS ? 1 : Math.min(threads, Math.ceil(seconds / SHARE_SECONDS))
  return { stages: taken, next, crew }
}

function portion({ units }: Step, seconds: number): Portion {
  const portions = (each: number) => Math.max(1, Math.floor(units / Math.max(1, seconds / each)))
  return {
    ...{ least: portions(LEAST_SECONDS), most: portions(PORTION_SECONDS) },
    hurried: portions(HURRIED_SECONDS),
  }
}

/** The steps as workers get them, and of the program's buffers only those they name: a stack has hundreds. */
function callsOf(
  stages: Step[][],
  buffers: BufferPlace[],
  portionOf: (step: Step) => Portion,
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
    const { op, args, precision, phase, nonFinite, units, chain, group } = step
    const tensors: Record<string, Ref> = {}
    for (const [name, ref] of Object.entries<Ref | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = local(ref)
    }
    const noted = nonFinite === undefined ? undefined : local(nonFinite)
    const flops = step.flops / units
    return {
      op,
      args,
      precision,
      phase,
      tensors,
      nonFinite: noted,
      units,
      chain,
      group,
      flops,
      ...portionOf(step),
    } as StepCall
  }
  return { stages: stages.map(stage => stage.map(call)), buffers: places }
}
