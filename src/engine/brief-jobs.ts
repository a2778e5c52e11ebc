/**
 * Jobs that take less than it takes to send them: they are run on this thread, at the end of the event loop's turn. So the answers
 * of a turn leave together, which costs half of what it costs to send each between two requests that are read.
 */
import type { RunTask, TaskResult } from '../../workers/contract.ts'
import type { Assignment, Job } from './job.ts'

export class BriefJobs {
  readonly #runTask: RunTask
  /** byte offset of the state of the task that is run: nobody asks for it */
  readonly #state: number
  /** whose end is waited for */
  #turn: PromiseWithResolvers<void> | undefined

  constructor(runTask: RunTask, state: number) {
    this.#runTask = runTask
    this.#state = state
  }

  /** Those that wait for the end of the turn wait no longer: it has come, or may be far. */
  readonly poll = (): void => {
    this.#turn?.resolve()
    this.#turn = undefined
  }

  /** Runs a small job, unless there is no claim table for it; whether it has. */
  async run(
    job: Job,
    signal: AbortSignal,
    answered: (assignment: Assignment, result: TaskResult) => void,
  ): Promise<boolean> {
    await this.#turnEnds()
    signal.throwIfAborted()
    for (job.advance(); job.open; ) {
      const assignment = job.assign()
      const { segment, scratch, remainder } = assignment
      const result = this.#runTask(segment.task({ scratch, remainder, state: this.#state, wakes: [] }))
      answered(assignment, result)
    }
    if (job.finished) job.settle()
    return job.finished
  }

  #turnEnds(): Promise<void> {
    if (this.#turn === undefined) {
      this.#turn = Promise.withResolvers()
      setImmediate(this.poll)
    }
    return this.#turn.promise
  }
}
