/** Tickets that are good at every server, once. */
import type { Identity } from '../identity.ts'
import {
  type LocalTickets,
  MOST_TICKETS,
  newTicket,
  TICKET_SECONDS,
  type Tickets,
  ticketHash,
} from '../tickets.ts'
import { PREFIX, type RedisAccess, Script } from './redis-access.ts'

/** Beyond a number of one client's tickets its oldest go. */
const ISSUE = new Script(
  'attentionIssue',
  `redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('RPUSH', KEYS[2], KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[3]) do
  redis.call('DEL', redis.call('LPOP', KEYS[2]))
end
return 1`,
)

const REDEEM = new Script(
  'attentionRedeem',
  `local found = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return found or ''`,
)

export class SharedTickets implements Tickets {
  readonly #redis: RedisAccess
  readonly #local: LocalTickets

  constructor(redis: RedisAccess, local: LocalTickets) {
    this.#redis = redis
    this.#local = local
  }

  async issue(identity: Identity | undefined): Promise<string> {
    if (identity === undefined) return this.#local.issue(identity)
    const ticket = newTicket()
    const names = [nameOf(ticket), `${PREFIX}:tickets:${identity.id}`]
    const issued = await this.#redis.run(ISSUE, names, [
      JSON.stringify(identity),
      TICKET_SECONDS,
      MOST_TICKETS,
    ])
    return issued === undefined ? this.#local.issue(identity) : ticket
  }

  async redeem(ticket: string): Promise<Identity | undefined> {
    const own = this.#local.redeem(ticket)
    if (own !== undefined) return own
    const found = await this.#redis.run(REDEEM, [nameOf(ticket)], [])
    return found ? (JSON.parse(String(found)) as Identity) : undefined
  }
}

function nameOf(ticket: string): string {
  return `${PREFIX}:ticket:${ticketHash(ticket)}`
}
