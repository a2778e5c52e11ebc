import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { stopListening } from './stop-listening.ts'

async function listening() {
  const server = createServer((_request, response) => response.end('{}'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => server.closeAllConnections())
  return server
}

it('waits for a turn of the loop that does nothing', async () => {
  const server = await listening()
  let busyTurns = 20
  const keepBusy = () => {
    for (const until = performance.now() + 1; performance.now() < until; );
    if (--busyTurns > 0) setImmediate(keepBusy)
  }
  setImmediate(keepBusy)
  await stopListening([server])
  expect([busyTurns, server.listening]).toEqual([0, false])
})

it('leaves connections that are idle to be used', async () => {
  const server = await listening()
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  const ask = () =>
    new Promise<[number | undefined, boolean]>((resolve, reject) => {
      const asked = request({ port, agent }, answer => {
        answer.resume().on('end', () => resolve([answer.statusCode, asked.reusedSocket]))
      })
      asked.on('error', reject).end()
    })
  expect(await ask()).toEqual([200, false])
  await stopListening([server])
  expect(await ask()).toEqual([200, true])
})

it('ends one socket after the other, the first last', async () => {
  const servers = await Promise.all(Array.from({ length: 3 }, listening))
  const order: number[] = []
  for (const [index, server] of servers.entries()) server.on('close', () => order.push(index))
  let seen: boolean[] | undefined
  servers[2].on('close', () => {
    seen ??= servers.map(({ listening }) => listening)
  })
  await stopListening(servers)
  await expect.poll(() => order).toEqual([2, 1, 0])
  expect(seen?.[0]).toBe(true)
})
