/** The piscina entry: one worker, its kernels, and the loop in which it waits for messages and answers them. */
import './older-node.ts'
import { receiveMessageOnPort } from 'node:worker_threads'
import { workerData } from 'piscina'
import type { RunTask, Slot, Task, TaskResult } from './contract.ts'
import { giveWay } from './give-way.ts'
import { taskRunner } from './task-runner.ts'
import { scanPiece } from './text/json-scan.ts'
import type { JsonScan, PausedScan, ScanPlace } from './text/json-spans.ts'
import { packSpans, unpackSpans } from './text/packed-spans.ts'
import { type PackedTree, packTree } from './text/packed-tree.ts'
import { createTextKernels } from './text/text-kernels.ts'
import type { SimdVariant } from './wasm/variants.ts'

export interface WorkerData {
  memory: WebAssembly.Memory
  variant: SimdVariant
}

type PackedSpans = Uint32Array<ArrayBuffer>
type Paused = Omit<PausedScan, 'spans'> & { spans: PackedSpans }

/** A piece of the structural pass over a large JSON body, off the main thread. */
export interface ScanMessage {
  scan: Omit<ScanPlace, 'resume'> & { offset: number; length: number; resume?: Paused | undefined }
}

/** What has been found in a piece of it. */
export type Scanned =
  | { ok: true; tree: PackedTree; spans: PackedSpans }
  | Extract<JsonScan, { ok: false }>
  | { paused: Paused }

/** Tasks come as JSON text: V8 writes and reads that several times faster than it clones such objects. */
export type Message = string | ScanMessage

/** Answers come in the order of the messages. */
export type Reply = TaskResult[] | { scanned: Scanned } | { failed: string }

/** A worker's first message says that it has loaded. */
export type FromWorker = 'loaded' | Reply

const { memory, variant } = workerData as WorkerData
giveWay()
const text = createTextKernels(memory)
export const runTaskHere = taskRunner(memory, variant, text)

/**
 * Never returns. The worker needs no event loop, so between messages it waits for its wake word in `Atomics.wait`: the
 * fastest way to it that there is, and one worker can wake another.
 */
export default function serve({ port, wakeWord }: Slot, run = runTaskHere): void {
  const word = new Int32Array(memory.buffer, wakeWord, 1)
  port.postMessage('loaded' satisfies FromWorker)
  for (;;) {
    const before = Atomics.load(word, 0)
    const received = receiveMessageOnPort(port)
    if (received === undefined) Atomics.wait(word, 0, before)
    else port.postMessage(answer(received.message, run))
  }
}

function answer(message: Message, run: RunTask): Reply {
  if (typeof message === 'string') return (JSON.parse(message) as Task[]).map(run)
  try {
    return { scanned: scanned(message.scan) }
  } catch (error) {
    return { failed: String(error) }
  }
}

function scanned({ offset, length, resume, ...place }: ScanMessage['scan']): Scanned {
  const scan = scanPiece(text, new Uint8Array(memory.buffer, offset, length), {
    ...place,
    ...(resume && { resume: { ...resume, spans: unpackSpans(resume.spans) } }),
  })
  if ('paused' in scan) return { paused: { ...scan.paused, spans: packSpans(scan.paused.spans) } }
  return scan.ok ? { ok: true, tree: packTree(scan.value), spans: packSpans(scan.spans) } : scan
}
