// What somebody does who has installed the package and starts the command: node serve.mjs NODE COMMAND
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const [node, command] = process.argv.slice(2)
const env = { ...process.env, PORT: '0', THREADS: '2', MEMORY_BYTES: String(256 << 20), LOG_LEVEL: 'info' }
const child = spawn(node, [command, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
const exited = once(child, 'exit')

process.once('exit', () => child.kill('SIGKILL'))

let log = ''
const url = await new Promise((resolve, reject) => {
  child.once('exit', code => reject(new Error(`ended with ${code} before it listened: ${log}`)))
  child.stdout.setEncoding('utf8').on('data', text => {
    log += text
    const found = /listening at (http:[^"]+)/.exec(log)
    if (found) resolve(found[1])
  })
})

const x = [
  [1, 0],
  [0, 1],
]
const asked = { q: x, k: x, v: x, return: ['output', 'weights'], backward: { target: x } }
const response = await fetch(`${url}/v1/attention`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(asked),
})
assert.equal(response.status, 200)
const { weights, grads, loss } = await response.json()
assert.ok(Math.abs(weights[0][0] - 0.66976155) < 1e-6)
assert.ok(loss > 0)
assert.equal(grads.v.length, 2)

// the same with elements in base64 of two types, which older versions of Node decode in another way
const half = { shape: [2, 2], dtype: 'float16', base64: 'ADwAAAAAADw=' }
const again = await fetch(`${url}/v1/attention`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ ...asked, v: half }),
})
assert.deepEqual((await again.json()).weights, weights)

// the model that comes with the package
const lesson = await fetch(`${url}/v1/models/lesson/forward`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ text: '그 동물은 길을 건너지 않았다.', return: ['weights'] }),
})
const { tokens, layers } = await lesson.json()
assert.equal(tokens.strings[0][2], '동물')
assert.equal(layers.length, 3)

const page = await fetch(url)
assert.match(await page.text(), /<!doctype html>/)
for (const path of [
  '/openapi.json',
  '/openapi-3.0.json',
  '/asyncapi.json',
  '/docs',
  '/health/ready',
  '/metrics',
]) {
  assert.equal((await fetch(url + path)).status, 200, path)
}

const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`)
await once(socket, 'open')
const types = []
const done = new Promise(resolve => {
  socket.onmessage = ({ data }) => {
    types.push(JSON.parse(data).type)
    if (types.at(-1) === 'done' || types.at(-1) === 'error') resolve()
  }
})
const stack = { layers: 2, heads: 1, d_ff: 2, init: { seed: 1 } }
socket.send(JSON.stringify({ type: 'start', id: 'a', stack, x }))
await done
assert.equal(types.filter(type => type === 'layer').length, 2)
socket.close()

child.kill('SIGINT')
const [code] = await exited
assert.equal(code, 0)
