/** The piscina entry: one worker, its kernels, and the loop over a task's steps. */
import { workerData } from 'piscina'
import { type ScanPlace, scanPiece } from './elements/json-scan.ts'
import { createTextKernels } from './elements/text-kernels.ts'
import { createSimdKernels, type SimdVariant } from './kernels/simd/index.ts'
import { opTable } from './ops.ts'
import { type Phase, type Spans, type Task, type TaskResult, TICKET } from './program.ts'
import type { Fault, Ref } from './task.ts'
import { type BufferView, bufferView } from './views.ts'

export interface WorkerData {
  memory: WebAssembly.Memory
  variant: SimdVariant
}

const { memory, variant } = workerData as WorkerData
const text = createTextKernels(memory)
const ops = opTable(createSimdKernels(memory, variant), text)

/** Tasks come as JSON text: V8 writes and reads that several times faster than it clones such objects. */
export default function run(tasks: string): TaskResult[] {
  return (JSON.parse(tasks) as Task[]).map(runTask)
}

/** Runs a task's steps in order; what goes wrong comes back as data. */
export function runTask(task: Task): TaskResult {
  const ticket = new Int32Array(memory.buffer, task.ticket, 1)
  Atomics.store(ticket, 0, TICKET.running)
  const views = task.buffers.map(place => bufferView(memory, place))
  const spans: Spans = {}
  try {
    for (const [index, step] of task.steps.entries()) {
      const begin = now()
      const tensors: Record<string, BufferView> = {}
      for (const [name, ref] of Object.entries<Ref>(step.tensors)) tensors[name] = views[ref]
      const careful = step.careful !== undefined && views[step.careful][0] !== 0
      const args = careful ? { ...step.args, careful } : step.args
      const fault = ops[task.precision][step.op](tensors, args, step.from, step.to, task.scratch)
      note(spans, step.phase, begin)
      if (fault !== undefined) {
        Atomics.store(ticket, 0, TICKET.waiting)
        return { ok: false, fault: fault as Fault, step: index, spans }
      }
    }
  } catch (error) {
    return {
      ok: false,
      crash: error instanceof Error ? (error.stack ?? error.message) : String(error),
      spans,
    }
  }
  Atomics.store(ticket, 0, TICKET.done)
  return { ok: true, spans }
}

/** A piece of the structural pass over a large JSON body, off the main thread. */
export function scan(place: ScanPlace & { offset: number; length: number }) {
  return scanPiece(text, new Uint8Array(memory.buffer, place.offset, place.length), place)
}

/** Milliseconds since the epoch, comparable between threads. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

function note(spans: Spans, phase: Phase, begin: number): void {
  const span = spans[phase]
  if (span === undefined) spans[phase] = [begin, now()]
  else span[1] = now()
}
