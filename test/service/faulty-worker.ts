/** The worker, with accidents: a request whose `scale` is one of these numbers meets one. */

import { workerData } from 'piscina'
import { type Slot, TASK_STATE, type Task } from '../../workers/contract.ts'
import type { WorkerData } from '../../workers/main.ts'
import serve, { runTaskHere } from '../../workers/main.ts'
import { DIES, HANGS, SLEEP_MS, SLEEPS, THROWS } from './accidents.ts'

const { memory } = workerData as WorkerData

export default function serveWithAccidents(slot: Slot): void {
  serve(slot, runWithAccidents)
}

function runWithAccidents(task: Task) {
  for (const step of task.stages.flat()) {
    const scale = 'scale' in step.args ? step.args.scale : 0
    if (scale === SLEEPS) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SLEEP_MS)
    if (scale === THROWS) return runTaskHere({ ...task, stages: [[{ ...step, op: 'nonsense' } as never]] })
    if (scale === HANGS) {
      begin(task)
      for (;;);
    }
    if (scale === DIES) {
      begin(task)
      process.exit(7)
    }
  }
  return runTaskHere(task)
}

/** The task will not end. */
function begin({ state }: Task): void {
  Atomics.store(new Int32Array(memory.buffer, state, 1), 0, TASK_STATE.running)
}
