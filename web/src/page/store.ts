/** A value that tells its watchers when it is replaced. */
export class Store<T extends object> {
  #value: T
  readonly #watchers = new Set<(value: T, before: T) => void>()

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  set(change: Partial<T>): void {
    const before = this.#value
    this.#value = { ...before, ...change }
    for (const watcher of [...this.#watchers]) watcher(this.#value, before)
  }

  /** Returns what ends the watching. */
  watch(watcher: (value: T, before: T) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }
}
