/** `POST /v1/stream-ticket`: a stream for a browser, once and soon. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LocalTickets } from '../../../src/http/auth/tickets.ts'
import { post, startServer } from '../server.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder, removeKey } from './key-file.ts'

const file = `${await folder()}/keys.json`
const key = await addKey(file, { name: 'k' })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1' })
const ask = (headers = {}) => post(server, '/v1/stream-ticket', {}, headers)
const query = (ticket: string) => `?ticket=${ticket}`

describe('a ticket', () => {
  it('is for who has a key, and opens one stream', async () => {
    expect((await ask()).status).toBe(401)
    const { status, body, headers } = await ask(bearer(key))
    expect([status, body]).toEqual([200, { ticket: expect.stringMatching(/^[\w-]{43}$/), expires_in: 30 }])
    expect(headers.get('cache-control')).toBe('no-store')
    expect(await handshake(server, {}, query(body.ticket))).toEqual({ status: 101 })
    expect(await handshake(server, {}, query(body.ticket))).toMatchObject({
      status: 401,
      code: 'UNAUTHORIZED',
    })
    expect(server.log.join('')).not.toContain(body.ticket)
  })

  it('opens nothing else, and no plain request uses it up', async () => {
    const { ticket } = (await ask(bearer(key))).body
    for (const path of ['/v1/stream', '/v1/plan', '/metrics'])
      expect((await fetch(`${server.url}${path}${query(ticket)}`)).status).toBe(401)
    expect((await fetch(`${server.url}/v1/plan`, { headers: bearer(ticket) })).status).toBe(401)
    expect((await handshake(server, {}, query(ticket))).status).toBe(101)
  })

  it.each(['', '?ticket=', '?ticket=a&ticket=b', '?ticket=constructor', `?ticket=${'a'.repeat(43)}`])(
    'that is none (%j): 401, as without',
    async wrong =>
      expect(await handshake(server, {}, wrong)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' }),
  )

  it('is not needed by who can send a key', async () => {
    expect((await handshake(server, bearer(key))).status).toBe(101)
    expect((await handshake(server, bearer('x'), query((await ask(bearer(key))).body.ticket))).status).toBe(
      401,
    )
  })

  it('does not bring back a key that has been removed', async () => {
    const other = await addKey(file, { name: 'other' })
    await new Promise(resolve => setTimeout(resolve, 150))
    expect((await ask(bearer(other))).status).toBe(200)
    await removeKey(file, 'other')
    await new Promise(resolve => setTimeout(resolve, 150))
    expect((await ask(bearer(other))).status).toBe(401)
  })

  it('is given where AUTH is off, too: pages need not know', async () => {
    const open = await startServer({ THREADS: '1' })
    const { status, body } = await post(open, '/v1/stream-ticket', {})
    expect(status).toBe(200)
    expect((await handshake(open, {}, query(body.ticket))).status).toBe(101)
  })
})

describe('tickets', () => {
  afterEach(() => vi.useRealTimers())
  const alice = { id: 'key:alice', name: 'alice', requestsPerMinute: undefined, flopsPerMinute: undefined }
  const bob = { ...alice, id: 'key:bob', name: 'bob' }

  it('end after half a minute', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const tickets = new LocalTickets()
    const [early, late] = [tickets.issue(alice), tickets.issue(alice)]
    vi.advanceTimersByTime(29_999)
    expect(tickets.redeem(early)).toBe(alice)
    vi.advanceTimersByTime(1)
    expect(tickets.redeem(late)).toBeUndefined()
  })

  it('of one client push out nobody else’s', () => {
    const tickets = new LocalTickets()
    const ofBob = tickets.issue(bob)
    const many = Array.from({ length: 100 }, () => tickets.issue(alice))
    expect(tickets.redeem(ofBob)).toBe(bob)
    expect(many.map(each => tickets.redeem(each)).filter(each => each === alice)).toHaveLength(64)
  })
})
