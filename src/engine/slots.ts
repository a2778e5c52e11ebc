/** What the pool of workers is to those that give them work. */
import type { Message, Reply } from '../../workers/main.ts'

/** The workers as the watchdog knows them. */
export interface Replaceable {
  readonly count: number
  loaded(slot: number): boolean
  /** Ends the slot's worker and starts another. */
  replace(slot: number, reason: string): void
}

/** The workers as the scheduler knows them. */
export interface Slots extends Replaceable {
  /** whether a worker is up, or is loading where none has failed to */
  readonly ready: boolean
  /** Whether the slot takes messages. */
  available(slot: number): boolean
  wakeWord(slot: number): number
  /** Rejects when the worker is lost. A quiet message is noticed when another worker changes the slot's wake word. */
  post(slot: number, message: Message, quiet: boolean): Promise<Reply>
}
