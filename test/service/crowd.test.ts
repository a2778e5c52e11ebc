/** More than a thousand connections that ask again and again. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { attention, startServer } from './server.ts'

const I = [
  [1, 0],
  [0, 1],
]
const body = JSON.stringify({ q: I, k: I, v: I })
const MESSAGE = `POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`

it('some of each turn are answered, others refused, nothing else; and all again when they have gone', async () => {
  const server = await startServer()
  const before = server.app.engine.arena.usedBytes
  const statuses: Record<string, number> = {}
  let going = true
  const sockets = Array.from({ length: 1200 }, () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    let text = ''
    socket.on('data', data => {
      text += data
      const head = text.indexOf('\r\n\r\n')
      const [, length] = /content-length: (\d+)/i.exec(text) ?? []
      if (head < 0 || text.length < head + 4 + Number(length)) return
      const status = text.slice(9, 12)
      text = ''
      statuses[status] = (statuses[status] ?? 0) + 1
      if (going) socket.write(MESSAGE)
    })
    return socket
  })
  // a turn takes one connection: under load each of them would be long
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  for (const socket of sockets) socket.write(MESSAGE)
  await expect.poll(() => statuses[503] ?? 0, { timeout: 60_000 }).toBeGreaterThan(100)
  const served = statuses[200]
  await expect.poll(() => statuses[200], { timeout: 60_000 }).toBeGreaterThan(served)
  // whatever else comes: who looks at its health is answered
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
  going = false
  expect(Object.keys(statuses).sort()).toEqual(['200', '503'])
  for (const socket of sockets) socket.destroy()
  await expect.poll(() => server.app.engine.arena.usedBytes, { timeout: 30_000 }).toBe(before)
  // no turn has that many in it now
  await expect.poll(async () => (await attention(server, { q: I, k: I, v: I })).status).toBe(200)
  for (let i = 0; i < 5; i++) expect((await attention(server, { q: I, k: I, v: I })).status).toBe(200)
  const line = server.log.find(text => text.includes('requests refused at their head'))
  expect(JSON.parse(line ?? '{}')).toMatchObject({ code: 'BUSY' })
})
