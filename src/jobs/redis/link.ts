/** The connections to Redis, and what is said where it does not answer. */
import { Redis } from 'ioredis'
import { Problem } from '../../problem.ts'

/** Every key begins with it. */
export const PREFIX = 'attention'
/** A question that has no answer by then has none. */
const ANSWER_MS = 3000
const RECONNECT_MS = 1000
const RETRY_SECONDS = 5
/** A server that starts waits for its first connection no longer. */
const FIRST_MS = 1000

export class RedisLink {
  /** for questions: where there is no connection they fail at once */
  readonly redis: Redis
  /** BullMQ's: it waits for a connection (one that is lost while it looks at Redis' version would be lost for good) */
  readonly patient: Redis
  readonly #subscriber: Redis
  /** settles with the first connection, or where there is none for now */
  readonly opened: Promise<void>

  /** `told` is called when the connection has been lost or found. */
  constructor(url: string, told: (available: boolean) => void) {
    const retryStrategy = (times: number) => Math.min(100 * times, RECONNECT_MS)
    const quick = { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: ANSWER_MS }
    this.redis = new Redis(url, { ...quick, retryStrategy })
    this.patient = new Redis(url, { maxRetriesPerRequest: null, retryStrategy })
    this.#subscriber = new Redis(url, { maxRetriesPerRequest: null, retryStrategy })
    const first = Promise.withResolvers<void>()
    this.opened = first.promise
    setTimeout(first.resolve, FIRST_MS).unref()
    let available: boolean | undefined
    const tell = (now: boolean) => {
      first.resolve()
      if (now !== available) told(now)
      available = now
    }
    this.redis.on('ready', () => tell(true))
    this.redis.on('close', () => tell(false))
    // a listener keeps the process from ending; `close` tells of it
    for (const client of [this.redis, this.patient, this.#subscriber]) client.on('error', () => {})
  }

  get available(): boolean {
    return this.redis.status === 'ready'
  }

  /** `hear` gets what anybody publishes there. */
  subscribe(channel: string, hear: (text: string) => void): void {
    this.#subscriber.on('message', (_channel, text) => hear(text))
    // it is subscribed again when the connection was lost
    this.#subscriber.subscribe(channel).catch(() => {})
  }

  /** Throws a 503 where Redis does not answer, or does not take it. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    if (!this.available) throw unavailable('there is no connection')
    const late = Promise.withResolvers<never>()
    const clock = setTimeout(() => late.reject(unavailable('there was no answer')), ANSWER_MS)
    try {
      return await Promise.race([question(), late.promise])
    } catch (error) {
      throw error instanceof Problem ? error : unavailable(reasonOf(error))
    } finally {
      clearTimeout(clock)
    }
  }

  async close(): Promise<void> {
    for (const client of [this.redis, this.patient, this.#subscriber]) client.disconnect()
  }
}

function unavailable(reason: string): Problem {
  return new Problem('QUEUE_UNAVAILABLE', `the queue of jobs cannot be used just now: ${reason}`, {
    retryAfter: RETRY_SECONDS,
  })
}

function reasonOf(error: unknown): string {
  // of a transaction, what was wrong with its commands
  const { message = '', previousErrors = [] } = error as Error & { previousErrors?: Error[] }
  return previousErrors.length > 0 ? reasonOf(previousErrors[0]) : said(message)
}

function said(message: string): string {
  if (message.includes('OOM')) return 'its memory is full'
  if (message.includes('MISCONF') || message.includes('READONLY')) return 'it takes nothing new'
  return 'it does not answer as it should'
}
