/** A connection to Redis whose questions are answered soon or not at all: requests wait for them. */
import { Redis } from 'ioredis'

/** Before every name of ours. */
export const PREFIX = 'attention'
/** A question that has no answer by then has none. */
const ANSWER_MS = 500
/** After that nothing is asked for so long. */
const PAUSE_MS = 1000
const RECONNECT_MS = 1000

export class RedisAccess {
  readonly #redis: Redis
  readonly #told: (available: boolean) => void
  #available: boolean | undefined
  #pausedUntil = 0

  /** `told` is called when Redis has been lost or found. */
  constructor(url: string, told: (available: boolean) => void) {
    this.#told = told
    this.#redis = new Redis(url, {
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      commandTimeout: ANSWER_MS,
      retryStrategy: times => Math.min(100 * times, RECONNECT_MS),
    })
    // a listener keeps the process from ending; `close` tells of it
    this.#redis.on('error', () => {})
    this.#redis.on('close', () => this.#tell(false))
  }

  /** What a script gives; undefined where there is no answer. */
  async run(script: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    if (this.#redis.status !== 'ready' || performance.now() < this.#pausedUntil) return undefined
    try {
      const answer = await script.run(this.#redis, keys, args)
      this.#tell(true)
      return answer
    } catch {
      this.#pausedUntil = performance.now() + PAUSE_MS
      this.#tell(false)
      return undefined
    }
  }

  close(): void {
    this.#redis.removeAllListeners('close')
    this.#redis.disconnect()
  }

  #tell(available: boolean): void {
    if (available !== this.#available) this.#told(available)
    this.#available = available
  }
}

/** Runs in Redis as a whole: between its lines nothing of others happens. */
export class Script {
  readonly #name: string
  readonly #lua: string

  constructor(name: string, lua: string) {
    this.#name = name
    this.#lua = lua
  }

  run(redis: Redis, keys: string[], args: (string | number)[]): Promise<unknown> {
    const commands = redis as unknown as Record<string, (...words: (string | number)[]) => Promise<unknown>>
    if (commands[this.#name] === undefined) redis.defineCommand(this.#name, { lua: this.#lua })
    return commands[this.#name](keys.length, ...keys, ...args)
  }
}
