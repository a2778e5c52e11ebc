/** The worker, which dies at random: before a task has begun, or in it. */
import { workerData } from 'piscina'
import { type Slot, TASK_STATE, type Task } from '../../workers/contract.ts'
import type { WorkerData } from '../../workers/main.ts'
import serve, { runTaskHere } from '../../workers/main.ts'

/** One task in so many is a worker's last. */
const TASKS = Number(process.env.SOAK_MORTAL_TASKS ?? 60)
/** A worker that has just come finishes some: else those behind it would wait for ever. */
const FIRST = 3

const { memory } = workerData as WorkerData
let done = 0

export default function serveForAWhile(slot: Slot): void {
  serve(slot, runOrDie)
}

function runOrDie(task: Task) {
  done++
  if (done > FIRST && Math.random() < 1 / TASKS) {
    if (Math.random() < 0.7)
      Atomics.store(new Int32Array(memory.buffer, task.state, 1), 0, TASK_STATE.running)
    process.exit(7)
  }
  return runTaskHere(task)
}
