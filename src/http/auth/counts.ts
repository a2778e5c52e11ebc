/** What somebody has used in the minute that is under way. The minute begins with what is used first. */
export const WINDOW_MS = 60_000

export interface Used {
  /** whether there was room for it; where there was none, nothing has been taken */
  taken: boolean
  /** in this minute, with what has been taken */
  used: number
  /** milliseconds until the minute ends */
  endsMs: number
}

export interface Counts {
  /** An amount of 0 takes nothing, and tells how it stands. */
  take(name: string, amount: number, limit: number): Used | Promise<Used>
}

interface Window {
  used: number
  /** milliseconds of `performance.now` */
  ends: number
}

/** Names that are kept before those of minutes that are over go. */
const MOST_NAMES = 10_000

/** Of this process alone. */
export class LocalCounts implements Counts {
  readonly #windows = new Map<string, Window>()

  take(name: string, amount: number, limit: number): Used {
    const now = performance.now()
    const window = this.#windows.get(name)
    const current = window !== undefined && now < window.ends ? window : { used: 0, ends: now + WINDOW_MS }
    const taken = current.used + amount <= limit
    if (taken && amount > 0) {
      current.used += amount
      if (current !== window) this.#begin(name, current, now)
    }
    return { taken, used: current.used, endsMs: current.ends - now }
  }

  #begin(name: string, window: Window, now: number): void {
    if (this.#windows.size >= MOST_NAMES) {
      for (const [each, { ends }] of this.#windows) if (ends <= now) this.#windows.delete(each)
    }
    this.#windows.set(name, window)
  }
}
