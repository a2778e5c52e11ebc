/** How far a task is, as its worker says in shared memory, while no message of it has come. */
import { TASK_STATE } from '../../workers/contract.ts'

export const TASK_STATE_BYTES = 4

export class TaskState {
  readonly offset: number
  readonly #word: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#word = new Int32Array(memory.buffer, offset, 1)
    Atomics.store(this.#word, 0, TASK_STATE.queued)
  }

  /** One of TASK_STATE. */
  get now(): number {
    return Atomics.load(this.#word, 0)
  }
}
