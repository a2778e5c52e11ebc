/** The engine runs programs: admission, memory, scheduling. The only place that knows the worker pool. */

import type { VariantChoice } from '../../workers/choose-variant.ts'
import { CLAIM_TABLE_BYTES } from '../../workers/claim-table.ts'
import type { RunTask } from '../../workers/contract.ts'
import type { ScanMessage, Scanned } from '../../workers/main.ts'
import { scanPiece } from '../../workers/text/json-scan.ts'
import type { JsonScan } from '../../workers/text/json-spans.ts'
import { unpackSpans } from '../../workers/text/packed-spans.ts'
import { unpackTree } from '../../workers/text/packed-tree.ts'
import { createTextKernels, PASS_BYTES, type TextKernels } from '../../workers/text/text-kernels.ts'
import type { Config } from '../config.ts'
import { Problem } from '../problem.ts'
import type { Program } from '../program.ts'
import { Admission, type Estimate, type Lease, type Limits, type Reclaimable } from './admission.ts'
import { Arena, type Region, SMALL_REGION, TASK_STATE_BYTES, WordPool } from './arena.ts'
import { BriefJobs } from './brief-jobs.ts'
import { chooseKernels } from './choose-kernels.ts'
import { CostModel } from './cost-model.ts'
import type { JobReport, OnBarrier, OnProgress } from './job.ts'
import type { MemoryPlan } from './memory-plan.ts'
import type { PlacedProgram } from './placement.ts'
import { MAX_PER_SLOT, Pool } from './pool.ts'
import { BATCH, Scheduler } from './scheduler.ts'
import { Semaphore } from './semaphore.ts'

export type { Lease } from './admission.ts'

/** The most segments that may have been begun at a time. */
const SEGMENTS = 256
/** Of a worker, for what is still a small request. */
const SCRATCH_BYTES = 256 * 1024
/** Bytes of text that one piece of a scan goes over: about 1 ms. */
const SCAN_PIECE = 4 << 20
const SCAN_SECONDS = 0.001
/** Values that the main thread reads of one text itself: about 1 ms. */
const VALUES_HERE = 1000
/** Workers that have hung are looked for at this interval. */
const CHECK_MS = 500
/** A cache line each: a worker that waits at one is not disturbed by changes of another's. */
const WAKE_WORD_BYTES = 64

export interface EngineOptions {
  /** called when a worker threw, trapped or died */
  onLost?(reason: string): void
  /** another worker module, for tests that inject faults: everything is sent to it */
  workerFile?: URL
  /** a byte that fresh memory is filled with, for tests */
  fill?: number
}

/** What is there before the workers are started. */
interface Loaded {
  arena: Arena
  kernels: VariantChoice
  text: TextKernels
  /** runs a task on this thread; undefined where everything is sent */
  runTask: RunTask | undefined
}

export class Engine {
  readonly arena: Arena
  readonly costModel: CostModel
  readonly kernels: VariantChoice
  readonly threads: number
  readonly #pool: Pool
  readonly #scheduler: Scheduler
  readonly #here: BriefJobs | undefined
  readonly #admission: Admission
  readonly #text: TextKernels
  /** work area of the scans on this thread */
  readonly #work: Region
  /** pieces of scans under way: as many as there are workers, so that small jobs never wait for more than one */
  readonly #pieces: Semaphore
  readonly #checks: NodeJS.Timeout

  /** Chooses the kernels, then starts the workers. Rejects when no kernels run here. */
  static async start(limits: Limits & Pick<Config, 'KERNELS'>, options: EngineOptions = {}): Promise<Engine> {
    // every program has scratch memory for every worker
    const arena = new Arena(limits.MEMORY_BYTES, SMALL_REGION + limits.THREADS * SCRATCH_BYTES)
    arena.fill = options.fill
    // this thread loads what it needs of the kernels while another times them
    const [kernels, { taskRunner }] = await Promise.all([
      chooseKernels(arena.memory, limits.KERNELS),
      import('../../workers/task-runner.ts'),
    ])
    const text = createTextKernels(arena.memory)
    const runTask = options.workerFile ? undefined : taskRunner(arena.memory, kernels.variant, text)
    return new Engine(limits, options, { arena, kernels, text, runTask })
  }

  private constructor(limits: Limits, options: EngineOptions, { arena, kernels, text, runTask }: Loaded) {
    const threads = limits.THREADS
    this.threads = threads
    this.arena = arena
    this.kernels = kernels
    const chosen = kernels.measurements.find(({ variant }) => variant === kernels.variant)
    this.costModel = new CostModel(chosen?.gigaflops)
    const { memory } = arena
    const onLost = options.onLost ?? (() => {})
    const wakeWords = new WordPool(arena, threads, WAKE_WORD_BYTES)
    const slots = Array.from({ length: threads }, () => wakeWords.take())
    const file = options.workerFile ?? new URL('../../workers/main.ts', import.meta.url)
    this.#pool = new Pool(file, { memory, variant: kernels.variant }, slots, {
      lost: onLost,
      available: () => this.#scheduler.dispatch(),
    })
    const context = {
      memory,
      threads,
      costModel: this.costModel,
      lowLatency: new WordPool(arena, 1, 4).take(),
      claimTables: new WordPool(arena, SEGMENTS, CLAIM_TABLE_BYTES),
    }
    // and one for this thread
    const taskStates = new WordPool(arena, threads * MAX_PER_SLOT * BATCH + 1, TASK_STATE_BYTES)
    this.#here = runTask && new BriefJobs(runTask, taskStates.take())
    this.#scheduler = new Scheduler(this.#pool, context, taskStates, { lost: onLost, here: this.#here })
    this.#admission = new Admission(limits, arena, this.costModel, this.#scheduler)
    this.#text = text
    this.#work = this.allocate(PASS_BYTES)
    this.#pieces = new Semaphore(threads)
    this.#checks = setInterval(() => this.#scheduler.checkWorkers(), CHECK_MS).unref()
  }

  /** Whether programs find workers. */
  get ready(): boolean {
    return this.#scheduler.ready
  }

  get backlogSeconds(): number {
    return this.#scheduler.backlogSeconds
  }

  get jobs(): number {
    return this.#scheduler.jobs
  }

  /** What a program would take. */
  estimate(program: Program, memory: MemoryPlan): Estimate {
    return this.#admission.estimate(program, memory)
  }

  /** Why such a program would not be run even on an idle server; undefined if it would. */
  refusal(estimate: Estimate): Problem | undefined {
    return this.#admission.refusal(estimate)
  }

  /** Why such a program would not be run just now; undefined if it would. */
  congestion(estimate: Estimate): Problem | undefined {
    return this.#admission.congestion(estimate)
  }

  /** Memory that is given back where requests find none. */
  reclaimFrom(reclaimable: Reclaimable): void {
    this.#admission.reclaimable = reclaimable
  }

  /**
   * Admits a program and gives it memory, at once unless held memory has to be given back first. Throws the Problem that says
   * why not: 413 for ever, 503 for now.
   */
  admit(program: Program, memory?: MemoryPlan): Lease | Promise<Lease> {
    return this.#admission.admit(program, memory)
  }

  /** Memory for a body or an answer; throws a 503 when there is none now. */
  allocate(bytes: number): Region {
    return this.#admission.allocate(bytes)
  }

  /** Memory for which held memory is given back where there is none; rejects with a 503 when that does not help. */
  room(bytes: number, grow = false): Promise<Region> {
    return this.#admission.room(bytes, grow)
  }

  busy(detail: string): Problem {
    return this.#admission.busy(detail)
  }

  /** Settles only when no task of the program is in flight any more. */
  run(
    { program, placement, cost = this.costModel.cost(program), group }: RunnableProgram,
    signal: AbortSignal,
    onBarrier?: OnBarrier,
    onProgress?: OnProgress,
  ): Promise<JobReport> {
    return this.#scheduler.submit({ program, placement, cost, group }, signal, onBarrier, onProgress)
  }

  /** Finds the structure of a JSON text in the shared memory here and now; undefined where it has too many values for that. */
  scanHere(text: Uint8Array): JsonScan | undefined {
    const scan = scanPiece(this.#text, text, { work: this.#work.offset, values: VALUES_HERE })
    return 'paused' in scan ? undefined : scan
  }

  /** The same for a large one, by workers, piece by piece. */
  async scan(text: Uint8Array): Promise<JsonScan> {
    if (!this.ready) throw this.busy('no worker responds')
    const work = this.allocate(PASS_BYTES)
    const place = { offset: text.byteOffset, length: text.length, work: work.offset, piece: SCAN_PIECE }
    try {
      let resume: ScanMessage['scan']['resume']
      for (;;) {
        const scan = await this.#pieces.take(() => this.#scanPiece({ ...place, resume }))
        if (!('paused' in scan)) return scan.ok ? unpacked(scan) : scan
        resume = scan.paused
      }
    } finally {
      this.arena.free(work)
    }
  }

  /** Once more if the worker died under another's task. */
  #scanPiece(scan: ScanMessage['scan']): Promise<Scanned> {
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

  /** Goes on with what workers have done, in a long turn of the event loop. */
  poll(): void {
    this.#here?.poll()
    this.#pool.poll()
  }

  async close(): Promise<void> {
    clearInterval(this.#checks)
    await this.#pool.close()
  }
}

function unpacked({ tree, spans }: Extract<Scanned, { ok: true }>): JsonScan {
  return { ok: true, value: unpackTree(tree), spans: unpackSpans(spans) }
}

/** A lease, or another program over the buffers of one. */
type RunnableProgram = Pick<PlacedProgram, 'program' | 'placement'> & Partial<PlacedProgram>
