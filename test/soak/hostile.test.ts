/** Slow senders, bodies that are announced and do not come, bombs, idle sockets: refused within limits, and small requests are served all the while. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { startReplica } from '../support/replica.ts'
import { milliseconds, percentile, report } from './figures.ts'
import { LONG, lasting, scaled } from './scale.ts'
import { megabytes, memoryOf } from './service.ts'
import { watchSmall } from './watch.ts'

const IDLE = scaled(200, 10_000)
const SLOW = scaled(50, 1000)
const DECLARED = scaled(20, 500)
const BOMBS = scaled(3, 100)
const SECONDS = lasting(2, 30)
/** Connections that are begun at a time. */
const AT_ONCE = 200
const HEAD = 'POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'

class Sender {
  readonly socket: Socket
  answer = ''
  readonly closed: Promise<void>
  readonly connected: Promise<unknown>

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' })
    this.socket.on('error', () => {})
    this.socket.on('data', data => {
      this.answer += data
    })
    this.connected = once(this.socket, 'connect')
    this.closed = new Promise(resolve => this.socket.once('close', () => resolve()))
  }

  get status(): string {
    return this.answer.slice(9, 12)
  }

  /** Resolves with it when it has come, or the connection has ended. */
  async answered(): Promise<string> {
    while (this.answer === '' && !this.socket.destroyed) await wait(20)
    return this.status
  }
}

async function open(port: number, count: number, begin = ''): Promise<Sender[]> {
  const all: Sender[] = []
  while (all.length < count) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - all.length) }, () => new Sender(port))
    await Promise.all(some.map(({ connected }) => connected))
    for (const { socket } of some) if (begin !== '') socket.write(begin)
    all.push(...some)
  }
  return all
}

function counted(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1
  return counts
}

it('refuses what is hostile within limits, and serves small requests throughout', async () => {
  const bodySeconds = scaled(1, 10)
  const { port, process: child } = await startReplica({
    BODY_SECONDS: String(bodySeconds),
    NODE_OPTIONS: `--expose-gc --import ${new URL('../support/collect.ts', import.meta.url).href}`,
  })
  const url = `http://127.0.0.1:${port}`
  const pid = child.pid as number
  await watchSmall(port)()
  child.kill('SIGUSR2')
  const before = await memoryOf(url, pid)
  const ended = watchSmall(port)

  const idle = await open(port, IDLE)
  // heads that go on byte by byte, and bodies that do
  const slow = await open(port, SLOW, HEAD)
  const drip = await open(port, SLOW, `${HEAD}content-length: 1000000\r\n\r\n{`)
  const dripping = setInterval(() => {
    for (const { socket } of slow) if (!socket.destroyed) socket.write('x')
    for (const { socket } of drip) if (!socket.destroyed) socket.write(' ')
  }, 500)
  const declared = await open(port, DECLARED, `${HEAD}content-length: ${2 ** 30}\r\n\r\n`)
  expect(counted(await Promise.all(declared.map(each => each.answered())))).toEqual({ 413: DECLARED })

  const zeros = gzipSync(Buffer.alloc(64 << 20, 0x20), { level: 9 })
  const bombs = await open(port, BOMBS)
  for (const { socket } of bombs) {
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: ${zeros.length}\r\n\r\n`)
    socket.write(zeros)
  }
  // the one that unpacks to too much, or is one too many of those that do
  const exploded = counted(await Promise.all(bombs.map(each => each.answered())))
  expect((exploded[413] ?? 0) + (exploded[503] ?? 0), JSON.stringify(exploded)).toBe(BOMBS)
  await wait(1000 * SECONDS)

  const told = await Promise.all([...slow, ...drip].map(each => each.answered()))
  expect(counted(told)).toEqual({ 408: 2 * SLOW })
  clearInterval(dripping)
  const { times, statuses } = await ended()
  expect(Object.keys(statuses)).toEqual(['200'])
  // a client that has sent nothing is no burden yet
  const here = idle.filter(({ socket }) => !socket.destroyed).length
  for (const { socket } of [...idle, ...slow, ...drip, ...declared, ...bombs]) socket.destroy()
  await expect.poll(async () => (await memoryOf(url, pid)).used, { timeout: 30_000 }).toBe(before.used)
  // small requests, which the collector's pause is not to be in
  const settling = watchSmall(port, scaled(20, 2))
  await wait(scaled(0, 10_000))
  await settling()
  child.kill('SIGUSR2')
  const after = await memoryOf(url, pid)
  report(
    'hostile clients',
    `${IDLE} idle sockets (${here} of them left at the end), ${SLOW} heads and ${SLOW} bodies a byte at a time (all 408 within ${bodySeconds} s), ${DECLARED} bodies of 1 GiB announced and ${BOMBS} of 64 MiB in ${(zeros.length / 1024).toFixed(0)} KiB (all refused): ` +
      `small ones beside it: ${milliseconds(times)}; memory beside tensors ${megabytes(before.others)} → ${megabytes(after.others)}, heap ${megabytes(before.heap)} → ${megabytes(after.heap)}`,
  )
  if (!LONG) return
  expect(percentile(times, 0.99)).toBeLessThan(50)
  expect(after.heap).toBeLessThan(before.heap + (48 << 20))
})
