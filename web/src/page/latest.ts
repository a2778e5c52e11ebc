/**
 * Runs one task at a time and remembers only the newest that waits: a number that is dragged asks for a hundred answers a
 * second, and only the last one that can be had is worth asking for.
 */
export class Latest {
  #running = false
  #waiting: (() => Promise<void>) | undefined

  run(task: () => Promise<void>): void {
    this.#waiting = task
    if (!this.#running) void this.#drain()
  }

  async #drain(): Promise<void> {
    this.#running = true
    while (this.#waiting !== undefined) {
      const task = this.#waiting
      this.#waiting = undefined
      try {
        await task()
      } catch (error) {
        // one that fails keeps no other from running
        reportError(error)
      }
    }
    this.#running = false
  }
}
