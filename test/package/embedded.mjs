// What somebody does who has installed the package and starts the service in a process of their own.
import assert from 'node:assert/strict'
import { startServer, version } from 'attention-server'
import { Client, tensor } from 'attention-server/client'
import { attention } from 'attention-server/fastify'
import Fastify from 'fastify'

const x = [
  [1, 0],
  [0, 1],
]
const settings = { threads: 1, memoryBytes: 256 << 20 }

async function post(url, path, body) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: await response.json() }
}

assert.match(version, /^\d+\.\d+\.\d+/)
const server = await startServer({ port: 0, logLevel: 'silent', ...settings })
assert.equal(server.url, `http://127.0.0.1:${server.port}`)
assert.equal((await post(server.url, '/v1/attention', { q: x, k: x, v: x })).status, 200)
const client = new Client(server.url)
const { weights } = await client.attention({ q: tensor(x), k: tensor(x), v: tensor(x), return: ['weights'] })
assert.ok(Math.abs(weights.nested()[0][0] - 0.66976155) < 1e-6)
const stack = { layers: 2, heads: 1, d_ff: 2, init: { seed: 1 } }
const types = []
for await (const { type } of client.stream({ stack, x: tensor(x) })) types.push(type)
assert.equal(types.filter(type => type === 'layer').length, 2)
await server.close()
await server.close()
await assert.rejects(startServer({ prot: 0 }), /expected one of .*port.*, got prot/)

const app = Fastify()
app.post('/mine', async request => ({ got: request.body }))
app.setErrorHandler((_error, _request, reply) => reply.code(418).send({ mine: true }))
await app.register(attention, { prefix: '/attention', page: true, ...settings })
app.get('/', async () => 'home')
const url = await app.listen({ port: 0 })

// what is the service's
const answer = await post(url, '/attention/v1/attention', { q: x, k: x, v: x, return: ['weights'] })
assert.equal(answer.status, 200)
assert.ok(Math.abs(answer.body.weights[0][0] - 0.66976155) < 1e-6)
const refused = await post(url, '/attention/v1/attention', { q: x, k: x })
assert.deepEqual([refused.status, refused.body.code], [400, 'INVALID_REQUEST'])
assert.equal((await post(url, '/attention/v1/nothing', {})).body.code, 'NOT_FOUND')
assert.equal((await fetch(`${url}/attention/health/ready`)).status, 200)
assert.equal((await fetch(`${url}/attention/openapi.json`)).status, 200)
assert.match(await (await fetch(`${url}/attention/`)).text(), /<!doctype html>/)
const socket = new WebSocket(`${url.replace('http', 'ws')}/attention/v1/stream`)
await new Promise((resolve, reject) => {
  socket.onopen = resolve
  socket.onerror = reject
})
socket.close()

// what is the host's: parsers, errors and paths are as they were
assert.deepEqual((await post(url, '/mine', { a: 1 })).body, { got: { a: 1 } })
assert.equal(await (await fetch(url)).text(), 'home')
const broken = await fetch(`${url}/mine`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{',
})
assert.equal(broken.status, 418)
assert.equal((await (await fetch(`${url}/nothing`)).json()).error, 'Not Found')
await app.close()

// without a prefix, beside paths of one's own
const bare = Fastify()
bare.setNotFoundHandler((_request, reply) => reply.code(404).send({ mine: true }))
await bare.register(attention, settings)
const at = await bare.listen({ port: 0 })
assert.equal((await post(at, '/v1/attention', { q: x, k: x, v: x })).status, 200)
assert.deepEqual((await post(at, '/nothing', {})).body, { mine: true })
await bare.close()
