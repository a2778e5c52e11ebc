/** Messages of `GET /v1/stream` that come in long frames, or in many: the library is handed them in pieces. */
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { float32, writeFile } from './safetensors-file.ts'
import { startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

/** More than a piece. */
const LONG = 600_000
const stack = { layers: 1, heads: 1, init: {} }
const start = (id: string, blanks: number, more = {}) =>
  JSON.stringify({ type: 'start', id, stack, x: [[1, 2]], ...more }).replace('[[', `[${' '.repeat(blanks)}[`)

/** In frames of these lengths and of what is left. */
function sendFrames(client: StreamClient, bytes: Buffer, lengths: number[], binary = false): void {
  let at = 0
  for (const length of lengths) {
    client.socket.send(bytes.subarray(at, at + length), { fin: false, binary })
    at += length
  }
  client.socket.send(bytes.subarray(at), { fin: true, binary })
}

it('text is served, in one frame or in many, and what comes before and behind it', async () => {
  const server = await startServer()
  const client = await StreamClient.open(server)
  const unknown = JSON.stringify({ type: 'credit', id: 'none', add: 1 })
  for (const [id, blanks, lengths] of [
    ['one', LONG, []],
    ['many', LONG, [0, 1, 1000, 300_000]],
    ['short', 0, [1, 5, 0]],
  ] as const) {
    const errors = client.of('error').length
    client.socket.send(unknown)
    sendFrames(client, Buffer.from(start(id, blanks)), [...lengths])
    client.socket.ping()
    client.socket.send(unknown)
    expect(await client.ended(id)).toMatchObject({ type: 'done' })
    await client.until(() => client.of('error').length === errors + 2)
  }
  // a short message in parts is as good as whole
  sendFrames(client, Buffer.from(unknown), [3, 4])
  await client.until(() => client.of('error').length === 7)
  await client.close()
})

it('a file is served, in one frame or in many', async () => {
  const server = await startServer()
  const client = await StreamClient.open(server)
  const values = Array.from({ length: 100_000 }, (_, index) => Math.sin(index))
  const layers = []
  for (const [id, lengths] of [
    ['one', []],
    ['many', [70_000, 1, 300_000]],
  ] as const) {
    const request = JSON.stringify({ type: 'start', id, stack, emit: ['output'], encoding: 'base64' })
    const file = Buffer.from(writeFile({ x: float32(values, [50_000, 1, 2]) }, { request }))
    sendFrames(client, file, [...lengths], true)
    expect(await client.ended(id)).toMatchObject({ type: 'done' })
    layers.push(client.of('layer', id)[0].tensors)
  }
  expect(layers[0].output.shape).toEqual([50_000, 1, 2])
  expect(layers[1]).toEqual(layers[0])
  await client.close()
})

it('characters may be cut by pieces and frames; what is no UTF-8 closes the connection', async () => {
  const server = await startServer()
  const client = await StreamClient.open(server)
  const text = Buffer.from(start('é', 0, { note: 'é'.repeat(200_000) }))
  for (const shift of [0, 1]) sendFrames(client, text, [1000 + shift, 270_000])
  await client.until(() => client.of('error').length === 2)
  for (const { problem } of client.of('error')) expect(problem.errors[0].path).toBe('/note')
  await client.close()
  const broken = Buffer.from(text)
  broken[broken.length - 4] = 0xff
  for (const lengths of [[], [1000], [broken.length - 10]]) {
    const other = await StreamClient.open(server)
    sendFrames(other, broken, lengths)
    const [code] = await once(other.socket, 'close')
    expect(code).toBe(1007)
    expect(other.of('error')[0].problem.code).toBe('INVALID_JSON')
  }
})

it('a connection that closes behind one, or is cut in the midst of it, leaves nothing', async () => {
  const server = await startServer()
  const before = server.app.engine.arena.usedBytes
  for (let turn = 0; turn < 5; turn++) {
    const client = await StreamClient.open(server)
    client.socket.send(start('a', LONG))
    if (turn % 2 === 0) client.socket.close()
    else client.socket.terminate()
    await once(client.socket, 'close')
  }
  const client = await StreamClient.open(server)
  client.socket.send(start('a', LONG))
  expect(await client.ended('a')).toMatchObject({ type: 'done' })
  await client.close()
  while (server.app.engine.arena.usedBytes !== before) await new Promise(resolve => setTimeout(resolve, 20))
})
