/** Sockets that share a port. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type ListenOptions } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { firstOf, furtherOf } from './listen.ts'
import { stopListening } from './stop-listening.ts'

const door = { host: '127.0.0.1', port: 0, backlog: 100 }

async function listening(options: ListenOptions): Promise<Server> {
  const server = createServer((_request, response) => response.end('{}'))
  await new Promise<void>(resolve => server.listen(options, resolve))
  onTestFinished(() => void server.close().closeAllConnections())
  return server
}

async function opened() {
  const options = await firstOf(door)
  const server = await listening(options)
  const doors = [server, ...(await furtherOf(server, options))]
  return { options, server, doors, port: (server.address() as AddressInfo).port }
}

it('takes several connections in a turn where sockets may share a port, and serves each', async () => {
  const { server, options, doors, port } = await opened()
  onTestFinished(() => stopListening(doors))
  expect(doors.length > 1).toBe(options.reusePort === true)
  let [inTurn, most, taken] = [0, 0, 0]
  server.on('connection', () => {
    if (inTurn === 0)
      setImmediate(() => {
        inTurn = 0
      })
    most = Math.max(most, ++inTurn)
    taken++
  })
  const sockets = Array.from({ length: 64 }, () => connect({ port, host: '127.0.0.1' }))
  const answers = sockets.map(async socket => {
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    const [answer] = await once(socket, 'data')
    socket.destroy()
    return String(answer).slice(0, 15)
  })
  expect(await Promise.all(answers)).toEqual(Array(64).fill('HTTP/1.1 200 OK'))
  expect(taken).toBe(64)
  expect(most > 1).toBe(doors.length > 1)
})

it('fails where somebody listens, even one who would share', async () => {
  const { port } = await opened()
  await expect(firstOf({ ...door, port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})

it('are closed together', async () => {
  const { doors, port } = await opened()
  await stopListening(doors)
  expect(doors.filter(({ listening }) => listening)).toEqual([])
  const refused = await new Promise(resolve => connect({ port, host: '127.0.0.1' }).on('error', resolve))
  expect(refused).toMatchObject({ code: 'ECONNREFUSED' })
})
