/** Finds the structure of JSON bodies: small ones on this thread, large ones on the workers, piece by piece. */
import type { ScanMessage } from '../../workers/main.ts'
import { scanJson, type scanPiece } from '../../workers/text/json-scan.ts'
import type { JsonScan, PausedScan } from '../../workers/text/json-spans.ts'
import { PASS_BYTES } from '../../workers/text/numbers-pass.ts'
import { createTextKernels, type TextKernels } from '../../workers/text/text-kernels.ts'
import { Problem } from '../problem.ts'
import type { Admission } from './admission.ts'
import type { Arena, Region } from './arena.ts'
import type { Scheduler } from './scheduler.ts'
import { Semaphore } from './semaphore.ts'

/** Bytes of text that one piece of a scan goes over: about 1 ms. */
const SCAN_PIECE = 4 << 20
const SCAN_SECONDS = 0.001

export class BodyScan {
  readonly #arena: Arena
  readonly #admission: Admission
  readonly #scheduler: Scheduler
  readonly #text: TextKernels
  /** work area of the scans on this thread */
  readonly #work: Region
  /** pieces of scans under way: as many as there are workers, so that small jobs never wait for more than one */
  readonly #pieces: Semaphore

  constructor(arena: Arena, admission: Admission, scheduler: Scheduler, threads: number) {
    this.#arena = arena
    this.#admission = admission
    this.#scheduler = scheduler
    this.#text = createTextKernels(arena.memory)
    this.#work = admission.allocate(PASS_BYTES)
    this.#pieces = new Semaphore(threads)
  }

  /** Of a text in the shared memory, here and now. */
  here(text: Uint8Array): JsonScan {
    return scanJson(this.#text, text, this.#work.offset)
  }

  /** The same of a large one, by workers. */
  async byWorkers(text: Uint8Array): Promise<JsonScan> {
    if (!this.#scheduler.ready) throw this.#admission.busy('no worker is up')
    const work = this.#admission.allocate(PASS_BYTES)
    const place = { offset: text.byteOffset, length: text.length, work: work.offset, piece: SCAN_PIECE }
    try {
      let resume: PausedScan | undefined
      for (;;) {
        const scan = await this.#pieces.take(() => this.#piece({ ...place, resume }))
        if (!('paused' in scan)) return scan
        resume = scan.paused
      }
    } finally {
      this.#arena.free(work)
    }
  }

  /** Once more if the worker died under another's task. */
  #piece(scan: ScanMessage['scan']): Promise<ReturnType<typeof scanPiece>> {
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
}
