/** Links of jobs below the prefix of a proxy and of somebody's own Fastify: they lead where the client can go. */
import Fastify from 'fastify'
import { expect, it, onTestFinished } from 'vitest'
import { attention } from '../../src/package/fastify.ts'
import { type Answer, JSON_TYPE } from './server.ts'

const ORDER = JSON.stringify({ endpoint: '/v1/attention', body: { q: [[1]], k: [[1]], v: [[1]] } })

it('Location, the document, its events and what a DELETE answers name the prefix', async () => {
  const app = Fastify()
  const settings = { threads: 1, memoryBytes: 256 << 20, kernels: 'wide' as const }
  await app.register(attention, { prefix: '/own', docs: false, ...settings })
  const url = await app.listen({ port: 0 })
  onTestFinished(() => app.close())
  for (const forwarded of ['', '/of-proxy']) {
    const headers = { 'content-type': JSON_TYPE, 'x-forwarded-prefix': forwarded }
    // what a proxy of that prefix does
    const ask = (path: string, options: RequestInit = {}) => {
      expect(path.startsWith(forwarded)).toBe(true)
      return fetch(url + path.slice(forwarded.length), { headers, ...options })
    }
    const json = async (response: Response) => (await response.json()) as Answer['body']
    const taken = await ask(`${forwarded}/own/v1/jobs`, { method: 'POST', body: ORDER })
    expect(taken.status).toBe(202)
    const { id } = await json(taken)
    const location = `${forwarded}/own/v1/jobs/${id}`
    expect(taken.headers.get('location')).toBe(location)
    const events = await (await ask(`${location}/events`)).text()
    const result = `${location}/result`
    expect(events).toContain(`"result":"${result}"`)
    expect((await json(await ask(location))).result).toBe(result)
    const ended = await ask(location, { method: 'DELETE', headers: { 'x-forwarded-prefix': forwarded } })
    expect((await json(ended)).result).toBe(result)
    expect((await json(await ask(result))).output).toEqual([[1]])
  }
})
