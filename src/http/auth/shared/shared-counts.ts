/** What somebody has used in this minute at all servers. */
import type { Counts, LocalCounts, Used } from '../counts.ts'
import { WINDOW_MS } from '../counts.ts'
import { PREFIX, type RedisAccess, Script } from './redis-access.ts'

/** Amounts are texts of float64: a whole number that Lua answers with is cut off. */
const TAKE = new Script(
  'attentionTake',
  `local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local ends = redis.call('PTTL', KEYS[1])
if ends <= 0 then
  used = 0
  ends = tonumber(ARGV[3])
end
local amount = tonumber(ARGV[1])
local taken = 0
if used + amount <= tonumber(ARGV[2]) then
  taken = 1
  if amount > 0 then
    used = used + amount
    redis.call('SET', KEYS[1], string.format('%.17g', used), 'PX', ends)
  end
end
return {taken, string.format('%.17g', used), ends}`,
)

export class SharedCounts implements Counts {
  readonly #redis: RedisAccess
  readonly #local: LocalCounts

  constructor(redis: RedisAccess, local: LocalCounts) {
    this.#redis = redis
    this.#local = local
  }

  async take(name: string, amount: number, limit: number): Promise<Used> {
    const answer = await this.#redis.run(TAKE, [`${PREFIX}:used:${name}`], [amount, limit, WINDOW_MS])
    if (answer === undefined) return this.#local.take(name, amount, limit)
    const [taken, used, endsMs] = answer as [number, string, number]
    return { taken: taken === 1, used: Number(used), endsMs }
  }
}
