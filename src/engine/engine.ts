/** The engine runs programs: admission, memory, scheduling. The only place that knows the worker pool. */
import { CLAIM_TABLE_BYTES } from '../../workers/claim-table.ts'
import { chooseVariant, type VariantChoice } from '../../workers/kernels/simd/choose.ts'
import type { ScanMessage } from '../../workers/main.ts'
import { type JsonScan, type PausedScan, scanJson, type scanPiece } from '../../workers/text/json-scan.ts'
import { PASS_BYTES } from '../../workers/text/numbers-pass.ts'
import { createTextKernels, type TextKernels } from '../../workers/text/text-kernels.ts'
import { bufferView } from '../../workers/views.ts'
import type { Config } from '../config.ts'
import { Problem } from '../problem.ts'
import { type Program, programFlops } from '../program.ts'
import { Arena, type Region } from './arena.ts'
import { CostModel } from './cost-model.ts'
import { MAX_PER_SLOT } from './in-flight.ts'
import { type JobReport, type OnBarrier, type Placement, programSeconds } from './job.ts'
import { type MemoryPlan, planMemory } from './memory-plan.ts'
import { Pool } from './pool.ts'
import { BATCH, Scheduler } from './scheduler.ts'
import { Semaphore } from './semaphore.ts'
import { TASK_STATE_BYTES } from './task-state.ts'
import { WordPool } from './word-pool.ts'

/** Bytes of text that one piece of a scan goes over: about 1 ms. */
const SCAN_PIECE = 4 << 20
const SCAN_SECONDS = 0.001
/** The most segments that may have been begun at a time. */
const SEGMENTS = 256
/** A cache line each: a worker that waits at one is not disturbed by changes of another's. */
const WAKE_WORD_BYTES = 64

export interface EngineOptions {
  /** called when a worker threw, trapped or died */
  onLost?(reason: string): void
  /** another worker module, for tests that inject faults */
  workerFile?: URL
  /** fill fresh memory with NaN, for tests */
  poison?: boolean
}

/** What a program needs, known before anything runs. */
export interface Estimate {
  flops: number
  bytes: number
  seconds: number
}

/** A program with its memory; `release` gives the memory back and must be called exactly once. */
export interface Lease {
  program: Program
  placement: Placement
  estimate: Estimate
  release(): void
}

type Limits = Pick<
  Config,
  'THREADS' | 'MEMORY_BYTES' | 'MAX_REQUEST_BYTES' | 'MAX_FLOPS' | 'QUEUE_SECONDS' | 'KERNELS'
>

export class Engine {
  readonly arena: Arena
  readonly costModel = new CostModel()
  readonly kernels: VariantChoice
  readonly threads: number
  readonly #limits: Limits
  readonly #pool: Pool
  readonly #scheduler: Scheduler
  readonly #text: TextKernels
  /** work area of the scans on this thread */
  readonly #work: Region
  /** pieces of scans under way: as many as there are workers, so that small jobs never wait for more than one */
  readonly #scans: Semaphore

  constructor(limits: Limits, options: EngineOptions = {}) {
    this.#limits = limits
    this.threads = limits.THREADS
    this.arena = new Arena(limits.MEMORY_BYTES)
    this.arena.poison = options.poison ?? false
    this.kernels = chooseKernels(this.arena, limits.KERNELS)
    this.#text = createTextKernels(this.arena.memory)
    this.#work = this.allocate(PASS_BYTES)
    this.#scans = new Semaphore(limits.THREADS)
    const { memory } = this.arena
    const onLost = options.onLost ?? (() => {})
    const threads = this.threads
    const wakeWords = new WordPool(this.arena, threads, WAKE_WORD_BYTES)
    const slots = Array.from({ length: threads }, () => wakeWords.take())
    const file = options.workerFile ?? new URL('../../workers/main.ts', import.meta.url)
    this.#pool = new Pool(file, { memory, variant: this.kernels.variant }, slots, onLost)
    const context = {
      memory,
      threads,
      costModel: this.costModel,
      lowLatency: new WordPool(this.arena, 1, 4).take(),
      claimTables: new WordPool(this.arena, SEGMENTS, CLAIM_TABLE_BYTES),
    }
    const taskStates = new WordPool(this.arena, threads * MAX_PER_SLOT * BATCH, TASK_STATE_BYTES)
    this.#scheduler = new Scheduler(this.#pool, context, taskStates, { lost: onLost })
  }

  get backlogSeconds(): number {
    return this.#scheduler.backlogSeconds
  }

  get jobs(): number {
    return this.#scheduler.jobs
  }

  estimate(program: Program): Estimate {
    return this.#estimate(program, planMemory(program))
  }

  #estimate(program: Program, plan: MemoryPlan): Estimate {
    return {
      flops: programFlops(program),
      bytes: plan.bytes + this.threads * program.scratchBytes,
      seconds: programSeconds(program, this.costModel) / this.threads,
    }
  }

  /** Why such a program would not be run even on an idle server; undefined if it would. */
  refusal({ flops, bytes }: Estimate): Problem | undefined {
    const most = Math.min(this.#limits.MAX_REQUEST_BYTES, this.arena.limit)
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

  /** Admits a program and gives it memory. Throws the Problem that says why not: 413 for ever, 503 for now. */
  admit(program: Program): Lease {
    const plan = planMemory(program)
    const estimate = this.#estimate(program, plan)
    const problem = this.refusal(estimate) ?? this.congestion(estimate)
    if (problem !== undefined) throw problem
    const region = this.allocate(estimate.bytes)
    return {
      program,
      placement: place(this.arena, region, program, plan, this.threads),
      estimate,
      release: () => this.arena.free(region),
    }
  }

  /** Why such a program would not be run just now; undefined if it would. */
  congestion({ bytes }: Estimate): Problem | undefined {
    if (this.#scheduler.jobs > 0 && this.backlogSeconds > this.#limits.QUEUE_SECONDS) {
      return this.busy(`${this.backlogSeconds.toFixed(1)} s of work are waiting`)
    }
    return this.arena.fits(bytes) ? undefined : this.busy('the tensor memory is taken by other requests')
  }

  /** Memory for a body or an answer; throws a 503 when there is none now. */
  allocate(bytes: number): Region {
    const region = this.arena.allocate(bytes)
    if (region === undefined) throw this.busy('the tensor memory is taken by other requests')
    return region
  }

  busy(detail: string): Problem {
    return new Problem('BUSY', detail, { retryAfter: Math.max(1, Math.ceil(this.backlogSeconds)) })
  }

  /** Settles only when no task of the program is in flight any more. */
  run(
    lease: Pick<Lease, 'program' | 'placement'>,
    signal: AbortSignal,
    onBarrier?: OnBarrier,
  ): Promise<JobReport> {
    return this.#scheduler.submit(lease.program, lease.placement, signal, onBarrier)
  }

  /** Finds the structure of a JSON text in the shared memory, here and now. */
  scanHere(text: Uint8Array): JsonScan {
    return scanJson(this.#text, text, this.#work.offset)
  }

  /** The same for a large one, by workers, piece by piece. */
  async scan(text: Uint8Array): Promise<JsonScan> {
    const work = this.allocate(PASS_BYTES)
    const place = { offset: text.byteOffset, length: text.length, work: work.offset, piece: SCAN_PIECE }
    try {
      let resume: PausedScan | undefined
      for (;;) {
        const scan = await this.#scans.take(() => this.#scanPiece({ ...place, resume }))
        if (!('paused' in scan)) return scan
        resume = scan.paused
      }
    } finally {
      this.arena.free(work)
    }
  }

  /** Once more if the worker died under another's task. */
  #scanPiece(scan: ScanMessage['scan']): Promise<ReturnType<typeof scanPiece>> {
    const attempt = async () => {
      const reply = await this.#scheduler.scanTask({ scan }, SCAN_SECONDS)
      if ('scanned' in reply) return reply.scanned
      throw new Error('failed' in reply ? reply.failed : 'not an answer to a scan')
    }
    return attempt()
      .catch(attempt)
      .catch(() => {
        throw new Problem('WORKER_LOST', 'the worker that read this body was lost; it may be sent again')
      })
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}

function chooseKernels(arena: Arena, wanted: Limits['KERNELS']): VariantChoice {
  return chooseVariant(arena.memory, wanted === 'auto' ? {} : { forced: wanted })
}

function place(
  arena: Arena,
  region: Region,
  program: Program,
  { offsets, bytes }: MemoryPlan,
  threads: number,
): Placement {
  const buffers = program.buffers.map((spec, index) => {
    const offset = spec.at ?? region.offset + offsets[index]
    if (spec.data !== undefined) constants(arena.memory, spec, offset)
    return { type: spec.type, offset, length: spec.length }
  })
  const scratch = Array.from(
    { length: threads },
    (_, worker) => region.offset + bytes + worker * program.scratchBytes,
  )
  return { buffers, scratch }
}

function constants(memory: WebAssembly.Memory, spec: Program['buffers'][number], offset: number): void {
  const data = spec.data ?? []
  bufferView(memory, { type: spec.type, offset, length: data.length }).set(data)
}
