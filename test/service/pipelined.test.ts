/** Requests that are sent without waiting for the answers before them. */
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { startServer } from './server.ts'

it('are answered in their order, however many come in one packet, with their bodies', async () => {
  const server = await startServer()
  const { hostname, port } = new URL(server.url)
  const body = JSON.stringify({ q: [[1]], k: [[1]], v: [[1]] })
  const count = 300
  const requests = Array.from({ length: count }, (_, index) => {
    const head = (method: string, path: string) =>
      `${method} ${path} HTTP/1.1\r\nhost: a\r\nx-request-id: r${index}\r\n`
    if (index % 3 > 0) return `${head('GET', '/health/live')}\r\n`
    const type = 'content-type: application/json'
    return `${head('POST', '/v1/attention')}${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  })
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', data => {
    text += data
  })
  socket.write(requests.join(''))
  const ids = () => [...text.matchAll(/^x-request-id: r(\d+)\r$/gm)].map(([, id]) => Number(id))
  while (ids().length < count) await new Promise(resolve => setTimeout(resolve, 10))
  socket.destroy()
  expect(ids()).toEqual(Array.from({ length: count }, (_, index) => index))
  expect([...text.matchAll(/HTTP\/1\.1 200 /g)]).toHaveLength(count)
})

it('leave nothing where their client goes', async () => {
  const server = await startServer()
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.write('GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(1000))
  await new Promise(resolve => socket.once('data', resolve))
  socket.destroy()
  const response = await fetch(`${server.url}/health/live`)
  expect(response.status).toBe(200)
  // every one that was begun has ended, or else shutting down would wait for it
  await server.app.drain()
})
