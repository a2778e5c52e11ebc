/** How many layer frames a run may still put on the wire. */
export class Credit {
  #left = 0
  #wait: PromiseWithResolvers<void> | undefined

  add(more: number): void {
    if (more === 0) return
    this.#left += more
    this.#wait?.resolve()
    this.#wait = undefined
  }

  /** One taker at a time. */
  async take(): Promise<void> {
    if (this.#left === 0) {
      this.#wait = Promise.withResolvers<void>()
      await this.#wait.promise
    }
    this.#left--
  }
}
