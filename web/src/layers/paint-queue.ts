/** Paints a little in every animation frame, so that the page stays at the speed of the screen however much arrives. */
const BUDGET_MS = 5

interface Waiting {
  paint(): void
  done(): void
}

export class PaintQueue {
  #waiting: Waiting[] = []
  #scheduled = 0

  /** Resolves when it has been painted, or will not be any more. */
  add(paint: () => void): Promise<void> {
    if (this.#scheduled === 0) this.#scheduled = requestAnimationFrame(() => this.#paint())
    return new Promise(done => this.#waiting.push({ paint, done }))
  }

  /** Forgets what has not been painted. */
  clear(): void {
    cancelAnimationFrame(this.#scheduled)
    this.#scheduled = 0
    const forgotten = this.#waiting
    this.#waiting = []
    for (const { done } of forgotten) done()
  }

  #paint(): void {
    const end = performance.now() + BUDGET_MS
    do {
      const next = this.#waiting.shift()
      try {
        next?.paint()
      } catch (error) {
        // what cannot be painted holds nothing else up
        reportError(error)
      }
      next?.done()
    } while (this.#waiting.length > 0 && performance.now() < end)
    this.#scheduled = this.#waiting.length > 0 ? requestAnimationFrame(() => this.#paint()) : 0
  }
}
