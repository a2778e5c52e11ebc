/** Whether a program may run, by its cost and memory, and the memory it gets. */
import { getHeapStatistics } from 'node:v8'
import { VIEWS } from '../../workers/contract.ts'
import type { Config } from '../config.ts'
import { Problem } from '../problem.ts'
import type { Program } from '../program.ts'
import type { Arena, Region } from './arena.ts'
import type { Cost, CostModel } from './cost-model.ts'
import { type MemoryPlan, planMemory } from './memory-plan.ts'
import type { PlacedProgram, Placement } from './placement.ts'

export type Limits = Pick<
  Config,
  'THREADS' | 'MEMORY_BYTES' | 'MAX_REQUEST_BYTES' | 'MAX_FLOPS' | 'QUEUE_SECONDS'
>

/** What a program needs, known before anything runs. */
export interface Estimate {
  flops: number
  bytes: number
  seconds: number
}

/** A program that has been admitted, with its memory, which is free when the last who holds it has disposed of it. */
export class Lease implements PlacedProgram, Disposable {
  readonly program: Program
  readonly placement: Placement
  readonly cost: Cost
  readonly estimate: Estimate
  group: string | undefined
  readonly #free: () => void
  #holders = 1

  constructor({ program, placement, cost }: PlacedProgram, estimate: Estimate, free: () => void) {
    this.program = program
    this.placement = placement
    this.cost = cost
    this.estimate = estimate
    this.#free = free
  }

  hold(): this {
    this.#holders++
    return this
  }

  [Symbol.dispose](): void {
    this.#holders--
    if (this.#holders === 0) this.#free()
  }
}

/** What a step takes of the heap, with its buffers and its part in the answer: 620 bytes, measured on stacks. */
const STEP_BYTES = 640
/** Steps of all programs that have been admitted: a stream holds its program for as long as its client reads. */
export const MOST_STEPS = Math.floor(getHeapStatistics().heap_size_limit / 4 / STEP_BYTES)

/** What waits for the workers now. */
export interface Load {
  /** false while no worker responds */
  readonly ready: boolean
  readonly backlogSeconds: number
  /** of these, what comes before the end of a program that would take so many */
  secondsBefore(seconds: number): number
}

/** Memory that its holders give back where others need it. */
export interface Reclaimable {
  /** Has one of them give way, or waits until one may; undefined where none has to. */
  reclaim(): Promise<void> | undefined
}

/** Time that a request waits for such memory. */
const RECLAIM_MS = 4000

export class Admission {
  reclaimable: Reclaimable | undefined

  readonly #limits: Limits
  readonly #arena: Arena
  readonly #costModel: CostModel
  readonly #load: Load
  /** of the programs that have been admitted and hold their memory */
  #steps = 0

  constructor(limits: Limits, arena: Arena, costModel: CostModel, load: Load) {
    this.#limits = limits
    this.#arena = arena
    this.#costModel = costModel
    this.#load = load
  }

  estimate(program: Program, plan: MemoryPlan): Estimate {
    return this.#estimate(program, plan, this.#costModel.cost(program))
  }

  #estimate(program: Program, plan: MemoryPlan, cost: Cost): Estimate {
    const { THREADS } = this.#limits
    let flops = 0
    for (const steps of program.stages) for (const step of steps) flops += step.flops
    return {
      flops,
      bytes: plan.bytes + THREADS * program.scratchBytes,
      seconds: (cost.seconds + cost.later) / THREADS,
    }
  }

  /** Why such a program would not be run even on an idle server; undefined if it would. */
  refusal({ flops, bytes }: Estimate): Problem | undefined {
    const most = Math.min(this.#limits.MAX_REQUEST_BYTES, this.#arena.largeLimit)
    if (flops > this.#limits.MAX_FLOPS) {
      return new Problem(
        'COMPUTE_TOO_LARGE',
        `expected at most ${this.#limits.MAX_FLOPS} floating-point operations, got ${flops}`,
      )
    }
    if (bytes > most) {
      return new Problem('MEMORY_TOO_LARGE', `expected at most ${most} bytes of tensor memory, got ${bytes}`)
    }
    return undefined
  }

  /** Why such a program would not be run just now; undefined if it would. */
  congestion(estimate: Estimate): Problem | undefined {
    return this.#overload(estimate) ?? (this.#arena.fits(estimate.bytes) ? undefined : this.#full())
  }

  #overload({ seconds }: Estimate): Problem | undefined {
    if (!this.#load.ready) return this.busy('no worker responds')
    const before = this.#load.secondsBefore(seconds)
    if (before > this.#limits.QUEUE_SECONDS)
      return this.busy(`${before.toFixed(1)} s of work would come before it`, before)
    if (this.#steps > MOST_STEPS) return this.busy('the programs of other requests are too many')
    return undefined
  }

  /**
   * Admits a program and gives it memory, at once unless held memory has to be given back first. Throws the Problem that says
   * why not: 413 for ever, 503 for now.
   */
  admit(program: Program, plan: MemoryPlan = planMemory(program)): Lease | Promise<Lease> {
    const cost = this.#costModel.cost(program)
    const estimate = this.#estimate(program, plan, cost)
    const problem = this.refusal(estimate) ?? this.#overload(estimate)
    if (problem !== undefined) throw problem
    const lease = (region: Region) => {
      const placed = { program, placement: this.#place(region, program, plan), cost }
      const steps = cost.steps.length
      this.#steps += steps
      return new Lease(placed, estimate, () => {
        this.#steps -= steps
        this.#arena.free(region)
      })
    }
    const region = this.#arena.allocate(estimate.bytes)
    return region === undefined ? this.room(estimate.bytes).then(lease) : lease(region)
  }

  /** Memory for which held memory is given back where there is none; rejects with a 503 when that does not help. */
  async room(bytes: number, grow = false): Promise<Region> {
    const end = performance.now() + RECLAIM_MS
    for (;;) {
      const region = this.#arena.allocate(bytes, grow)
      if (region !== undefined) return region
      const freed = performance.now() < end ? this.reclaimable?.reclaim() : undefined
      if (freed === undefined) throw this.#full()
      await freed
    }
  }

  /** Memory for a body or an answer; throws a 503 when there is none now. */
  allocate(bytes: number): Region {
    const region = this.#arena.allocate(bytes)
    if (region === undefined) throw this.#full()
    return region
  }

  busy(detail: string, seconds = this.#load.backlogSeconds): Problem {
    return new Problem('BUSY', detail, { retryAfter: Math.max(1, Math.ceil(seconds)) })
  }

  #full(): Problem {
    return this.busy('the tensor memory is taken by other requests')
  }

  #place(region: Region, program: Program, { offsets, bytes }: MemoryPlan): Placement {
    const buffers: Placement['buffers'] = []
    for (const { type, at, length, data } of program.buffers) {
      const offset = at ?? region.offset + offsets[buffers.length]
      buffers.push({ type, offset, length })
      if (data !== undefined) new VIEWS[type](this.#arena.memory.buffer, offset, data.length).set(data)
    }
    const scratch: number[] = []
    for (let worker = 0; worker < this.#limits.THREADS; worker++)
      scratch.push(region.offset + bytes + worker * program.scratchBytes)
    return { buffers, scratch }
  }
}
