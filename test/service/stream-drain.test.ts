/** Streams that are still open when the time to drain is over: closed with 1001, and no fault where they wait for their clients. */
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { startReplica, terminate } from '../support/replica.ts'
import { startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const start = {
  type: 'start',
  id: 'a',
  stack: { layers: 3, heads: 2, d_ff: 12, init: { seed: 3 } },
  x: Array.from({ length: 7 }, () => Array(8).fill(0.5)),
  credit: 2,
}
const zeros = (rows: number, columns: number) => ({
  shape: [rows, columns],
  dtype: 'float32',
  base64: Buffer.alloc(4 * rows * columns).toString('base64'),
})
/** The map of a layer is more than both ends hold for a client that does not read. */
const wide = {
  ...start,
  stack: { layers: 1, heads: 1, init: { seed: 3 } },
  x: zeros(2048, 2),
  encoding: 'base64',
}
/** It takes minutes. */
const long = {
  ...start,
  stack: { layers: 64, heads: 8, init: { seed: 3 } },
  x: zeros(4096, 64),
  layers: [],
  precision: 'float64',
}
const PATIENT = { timeout: 60_000 }
const paused = async (client: StreamClient) => {
  client.acknowledge = false
  client.send(start)
  await client.until(({ type, done }) => type === 'progress' && done === 3)
}

describe('at the end of the time to drain', () => {
  it('a run without credit ends with its connection, and where it goes on has been told', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    await paused(client)
    const closed = once(client.socket, 'close')
    const drained = server.app.drain()
    const { resume } = await client.until(({ type }) => type === 'going_away')
    expect(resume).toEqual([{ id: 'a', pass: 'forward', from_layer: 2 }])
    expect(server.app.endStreams()).toBe(false)
    expect((await closed)[0]).toBe(1001)
    await drained
  })

  it('a client that does not read is cut off', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    client.socket.pause()
    const runs = vi.spyOn(server.app.engine, 'run')
    client.send(wide)
    await vi.waitUntil(() => runs.mock.results.length > 0, PATIENT)
    await runs.mock.results[0].value
    const drained = server.app.drain()
    expect(server.app.endStreams()).toBe(false)
    await drained
    client.socket.terminate()
  })

  it('a map that is not read is no work of the server, one that is still taken out is', async () => {
    for (const computed of [false, true]) {
      const server = await startServer()
      const client = await StreamClient.open(server)
      client.send({ ...wide, detail: {} })
      await client.ended('a')
      const runs = vi.spyOn(server.app.engine, 'run')
      if (computed) runs.mockImplementation(() => new Promise(() => {}))
      else client.socket.pause()
      client.send({ type: 'fetch', id: 'a', layer: 0, head: 0, tensor: 'weights' })
      await vi.waitUntil(() => runs.mock.results.length > 0, PATIENT)
      if (!computed) await runs.mock.results[0].value
      const drained = server.app.drain()
      if (computed) await client.until(({ type }) => type === 'going_away')
      else await nextTurn()
      expect(server.app.endStreams()).toBe(computed)
      await drained
      client.socket.terminate()
    }
  })

  it('a run that is still computed is closed, too, and that is said', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    client.send(long)
    await client.until(({ type }) => type === 'accepted')
    const closed = once(client.socket, 'close')
    const drained = server.app.drain()
    await client.until(({ type }) => type === 'going_away')
    expect(server.app.endStreams()).toBe(true)
    expect((await closed)[0]).toBe(1001)
    await drained
  })
})

describe('the process', () => {
  const env = { DRAIN_SECONDS: '0.5', SHUTDOWN_DELAY_SECONDS: '0' }

  it('ends with 0 where runs wait for their clients', async () => {
    const replica = await startReplica(env)
    const url = `http://127.0.0.1:${replica.port}`
    const [client, deaf] = [await StreamClient.open({ url }), await StreamClient.open({ url })]
    deaf.socket.once('message', () => deaf.socket.pause())
    deaf.send(wide)
    await deaf.until(({ type }) => type === 'accepted')
    const jobs = async () => ((await (await fetch(`${url}/health/ready`)).json()) as { jobs: number }).jobs
    await vi.waitUntil(async () => (await jobs()) === 0, PATIENT)
    await paused(client)
    const closed = once(client.socket, 'close')
    expect(await terminate(replica)).toBe(0)
    expect((await closed)[0]).toBe(1001)
    expect(client.of('going_away')).toHaveLength(1)
    deaf.socket.terminate()
  })

  it('ends with 1 where one is still computed', async () => {
    const replica = await startReplica(env)
    const client = await StreamClient.open({ url: `http://127.0.0.1:${replica.port}` })
    client.send(long)
    await client.until(({ type }) => type === 'accepted')
    const closed = once(client.socket, 'close')
    expect(await terminate(replica)).toBe(1)
    expect((await closed)[0]).toBe(1001)
    expect(replica.log.join('')).toContain('requests were still running')
  })
})
