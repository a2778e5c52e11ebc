/** How many jobs of one key run at a time, over all servers: places that are believed taken while their holders renew them. */
import type { Redis } from 'ioredis'
import type { Order } from '../job.ts'
import { begunAt, RUNNING, runningOf } from './names.ts'
import { jobIdOf, partId } from './records.ts'

/** Takes a place, unless all are taken, and notes when the job was begun; places whose time is over are free. */
const TAKE = `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZSCORE', KEYS[1], ARGV[4]) == false and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[4])
redis.call('SET', KEYS[3], ARGV[1], 'NX', 'EX', ARGV[5])
return 1`

/** Forgets when the job was begun, unless another of its parts has a place. */
const WITHDRAW = `
for i = 2, #ARGV do
  local held = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if held and tonumber(held) > tonumber(ARGV[1]) then return end
end
redis.call('DEL', KEYS[2])`

export class Turns {
  /** Who finds no place asks again after this time. */
  static readonly WAIT_MS = 500

  readonly #redis: Redis
  readonly #most: number
  readonly #ms: number
  readonly #recordSeconds: number
  readonly #held = new Map<string, string>()
  readonly #renewal: NodeJS.Timeout

  /** `seconds`: that a place is believed taken; `recordSeconds`: that what is known of a job stays. */
  constructor(redis: Redis, most: number, seconds: number, recordSeconds: number) {
    this.#redis = redis
    this.#most = most
    this.#ms = seconds * 1000
    this.#recordSeconds = recordSeconds
    this.#renewal = setInterval(() => this.#renew(), this.#ms / 3).unref()
  }

  /** Disposed of, the place is free again. */
  async take(owner: string, id: string): Promise<Disposable | undefined> {
    const key = runningOf(owner)
    const keys = [key, RUNNING, begunAt(jobIdOf(id))]
    const now = Date.now()
    // it may run for long, and is known for that time behind its end
    const seconds = 2 * this.#recordSeconds
    const taken = await this.#redis.eval(TAKE, 3, ...keys, now, now + this.#ms, this.#most, id, seconds)
    if (taken !== 1) return undefined
    this.#held.set(id, key)
    return {
      [Symbol.dispose]: () => {
        this.#held.delete(id)
        this.#redis
          .multi()
          .zrem(key, id)
          .zrem(RUNNING, id)
          .exec()
          .catch(() => {})
      },
    }
  }

  /** What had a place has done nothing with it, and is to be begun anew. */
  async withdraw({ id, parts = [] }: Order, entryId: string): Promise<void> {
    const others = parts.map((_, index) => partId(id, index)).filter(each => each !== entryId)
    const keys = [RUNNING, begunAt(id)]
    await this.#redis.eval(WITHDRAW, keys.length, ...keys, Date.now(), ...others).catch(() => {})
  }

  close(): void {
    clearInterval(this.#renewal)
  }

  #renew(): void {
    const until = Date.now() + this.#ms
    for (const [id, key] of this.#held) {
      this.#redis
        .multi()
        .zadd(key, until, id)
        .pexpireat(key, until)
        .zadd(RUNNING, until, id)
        .exec()
        .catch(() => {})
    }
  }
}
