/** A run whose server shuts down: where it goes on, and the tries to find a server that takes it. */

export interface Resume {
  id: string
  pass: string
  from_layer?: number
}

const MOST_TRIES = 6
const FIRST_WAIT_MS = 100

export class Resumption {
  #from: Resume | undefined
  #tries = 0
  #clock: ReturnType<typeof setTimeout> | undefined

  /** What a server has said of its runs as it goes away; true where this one is among them. */
  begin(runs: unknown, id: string): boolean {
    this.end()
    this.#from = (runs as Resume[] | undefined)?.find(run => run.id === id)
    return this.#from !== undefined
  }

  /** `attempt` is called soon, later each time; false where there is no run to go on with, or it has been tried often enough. */
  again(attempt: (from: Resume) => void): boolean {
    const from = this.#from
    if (from === undefined || this.#tries === MOST_TRIES) return false
    this.#clock = setTimeout(() => attempt(from), this.#tries && FIRST_WAIT_MS * 2 ** this.#tries)
    this.#tries++
    return true
  }

  end(): void {
    clearTimeout(this.#clock)
    this.#from = undefined
    this.#tries = 0
  }
}
