/** Which of the layers that have come are acknowledged: those that are drawn, and while the run is paused none of them. */
import { CREDIT } from './request.ts'

export class Acknowledgements {
  readonly #send: (layers: number) => void
  /** drawn while the run is paused: acknowledged when it goes on */
  #owed = 0
  #open = 0

  constructor(send: (layers: number) => void) {
    this.#send = send
  }

  /** What came before, over another connection or of another run, is acknowledged by nobody. */
  begin(): void {
    this.#owed = 0
    this.#open = 0
  }

  came(): void {
    this.#open++
  }

  drawn(paused: boolean): void {
    if (paused) this.#owed++
    else this.#acknowledge(1)
  }

  resume(): void {
    if (this.#owed > 0) this.#acknowledge(this.#owed)
    this.#owed = 0
  }

  /** Those that are open use up the credit: the server waits for the page. */
  get isExhausted(): boolean {
    return this.#open >= CREDIT
  }

  #acknowledge(layers: number): void {
    this.#open -= layers
    this.#send(layers)
  }
}
