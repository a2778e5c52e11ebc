/** What the main thread goes over is bounded: what is longer is refused, and what takes long is done in slices. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { transformer } from '../../src/endpoints/transformer.ts'
import { Arrivals } from '../../src/pipeline/arrivals.ts'
import { type Numerics, replyStyle } from '../../src/pipeline/reply.ts'
import { plan } from '../../src/pipeline/serve.ts'
import { Problem } from '../../src/problem.ts'
import { float32, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const server = await startServer({ MAX_BODY_BYTES: String(64 << 20) })
const used = server.app.engine.arena.usedBytes

const ATTENTION = '/v1/attention'
const SELF = '/v1/self-attention'
const MULTI = '/v1/multi-head-attention'
const STACK = '/v1/transformer'

const x = [[1, 2]]
const qkv = { q: x, k: x, v: x }
const stack = { layers: 1, heads: 1, init: {} }
const many = (count: number, name: string) => Array(count).fill(name)
const members = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, value]))
const batch = (count: number) => ({ shape: [count, 1, 1] })
const lengths = (count: number) => ({
  q: batch(count),
  k: batch(count),
  v: batch(count),
  kv_lengths: many(count, '1').map(Number),
})

describe('what there is too much of is counted before it is looked at', () => {
  it.each<[string, string, object, string, RegExp]>([
    ['return', ATTENTION, { ...qkv, return: many(14, 'output') }, '/return', /at most 13 elements, got 14/],
    ['wrong names', ATTENTION, { ...qkv, return: many(15_000, 'x') }, '/return', /at most 13 .*got 15000/],
    ['numbers', ATTENTION, { ...qkv, return: Array(900).fill(1) }, '/return', /at most 13 .*got 900/],
    [
      'wrt',
      ATTENTION,
      { ...qkv, backward: { target: x, wrt: many(15, 'q') } },
      '/backward/wrt',
      /at most 14 elements, got 15/,
    ],
    [
      'wrt of a layer',
      SELF,
      { x, init: {}, backward: { target: x, wrt: many(20, 'x') } },
      '/backward/wrt',
      /at most 19 elements, got 20/,
    ],
    [
      'wrt of many heads',
      MULTI,
      { x, heads: 1, init: {}, backward: { target: x, wrt: many(23, 'x') } },
      '/backward/wrt',
      /at most 22 elements, got 23/,
    ],
    [
      'parameters',
      STACK,
      { x, stack: { layers: 1, heads: 1, params: members(9988, 'no tensor') } },
      '/stack/params',
      /at most 9987 parameters, got 9988/,
    ],
  ])('%s', async (_name, path, body, pointer, message) => {
    const { body: problem } = await post(server, path, body)
    expect(problem).toMatchObject({ status: 400, code: 'INVALID_REQUEST' })
    expect(problem.errors).toHaveLength(1)
    expect(problem.errors[0].path).toBe(pointer)
    expect(problem.errors[0].message).toMatch(message)
  })

  it('takes as many names as there are', async () => {
    const wrt = ['q', 'k', 'v', 'q', 'k', 'v']
    const { body } = await post(server, ATTENTION, { ...qkv, backward: { target: x, wrt } })
    expect(Object.keys(body.grads)).toEqual(['q', 'k', 'v'])
    const all = many(5639, 'params')
    const answer = await post(server, STACK, { x, stack, return: [], backward: { target: x, wrt: all } })
    expect(Object.keys(answer.body.grads)).toEqual(['params'])
  })

  it('lists twenty errors, and of a long name its beginning', async () => {
    const { body } = await post(server, ATTENTION, { ...qkv, ...members(5000, 1) })
    expect(body.errors).toHaveLength(20)
    const wrong = await post(server, STACK, {
      x,
      stack: { layers: 1, heads: 1, params: members(4000, 'no tensor') },
    })
    expect(wrong.body.errors).toHaveLength(20)
    const long = await post(server, ATTENTION, { ...qkv, ['k'.repeat(1000)]: 1 })
    expect(long.body.errors[0].path).toBe(`/${'k'.repeat(64)}…`)
    const name = await post(server, STACK, {
      x,
      stack,
      backward: { target: x, wrt: [`params.${'n'.repeat(900)}`] },
    })
    expect(name.body.errors[0].message.length).toBeLessThan(500)
  })

  it.each<[string, string, RegExp]>([
    ['values', `{"q":[${'{},'.repeat(20_000)}{}]}`, /at most 20000 values/],
    [
      'tensors',
      `{${Array.from({ length: 9001 }, (_, at) => `"m${at}":[1]`)}}`,
      /at most 9000 tensors and long strings/,
    ],
  ])('%s beside tensors', async (_name, body, message) => {
    const { body: problem } = await post(server, ATTENTION, body)
    expect(problem).toMatchObject({ status: 400, code: 'INVALID_JSON' })
    expect(problem.detail).toMatch(message)
  })

  it('reads no shape that has more digits than numbers need', async () => {
    const body = `{"q":{"shape":[1.${'0'.repeat(5 << 20)},1],"data":[1]},"k":[[1]],"v":[[1]]}`
    const { body: problem } = await post(server, ATTENTION, body)
    expect(problem.errors).toEqual([
      { path: '/q/shape/0', message: 'expected a number of at most 4096 bytes, got a longer one' },
    ])
  })
})

describe('lengths', () => {
  const planned = (body: object) => post(server, '/v1/plan', { endpoint: ATTENTION, body })

  it('are those of at most 65536 sequences, given or planned', async () => {
    expect((await planned(lengths(65536))).status).toBe(200)
    const message = /at most 65536 sequences, got \[65537\]/
    for (const body of [lengths(65537), { ...lengths(65537), kv_lengths: { shape: [65537] } }]) {
      const { body: problem } = await planned(body)
      expect(problem).toMatchObject({ status: 400, code: 'SHAPE_MISMATCH' })
      expect(problem.errors[0].path).toMatch(/^\/body\/kv_lengths/)
      expect(problem.errors[0].message).toMatch(message)
    }
  })

  it.each([
    ['[ 1 ,\n0\t]', 200, undefined],
    ['[1.0,1e0]', 200, undefined],
    ['{"shape":[2],"data":[1,0]}', 200, undefined],
    ['[1,2]', 400, /from 0 to 1, got 2/],
    ['[1,-1]', 400, /got -1/],
    ['[0.5,1]', 400, /got 0\.5/],
    ['[1,4294967296]', 400, /got 4294967296/],
    ['["NaN",1]', 400, /got NaN/],
    ['[1,"-Infinity"]', 400, /got -Infinity/],
    ['[1.0000000000000001,1]', 200, undefined],
    [`[1,${' '.repeat(5 << 20)}1]`, 400, /got \d+ bytes of text/],
  ])('as JSON writes them: %#', async (text, status, message) => {
    const body = { q: [x, x], k: [x, x], v: [x, x], q_lengths: '?' }
    const answer = await post(server, ATTENTION, JSON.stringify(body).replace('"?"', text))
    expect(answer.status).toBe(status)
    if (message !== undefined) expect(answer.body.detail).toMatch(message)
  })

  it('of no sequence', async () => {
    const none = { shape: [0, 1, 1], data: [] }
    const body = { q: none, k: none, v: none, q_lengths: { shape: [0], data: [] }, encoding: 'flat' }
    expect((await post(server, ATTENTION, body)).status).toBe(200)
  })
})

describe('a safetensors header', () => {
  const send = async (names: string[], request: object = {}) => {
    const tensors = Object.fromEntries(names.map(name => [name, float32([1], [1])]))
    const response = await fetch(server.url + STACK, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE },
      body: writeFile(tensors, { request: JSON.stringify(request) }),
    })
    return (await response.json()) as { status: number; code: string; detail: string; errors: object[] }
  }

  it('has at most 4400 names', async () => {
    const names = Array.from({ length: 4401 }, (_, at) => `n${at}`)
    const problem = await send(names)
    expect(problem).toMatchObject({ status: 400, code: 'INVALID_SAFETENSORS' })
    expect(problem.detail).toMatch(/at most 4400 tensors, got 4401/)
    // as many as may be are read, by workers
    const fields = Array.from({ length: 4400 }, (_, at) => `stack.params.p${at}`)
    const read = await send(fields, { x, stack: { layers: 1, heads: 1 } })
    expect(read).toMatchObject({ status: 400, code: 'INVALID_REQUEST' })
    expect(read.detail).toMatch(/params/)
  })

  it('has names of at most 16 levels', async () => {
    const deep = `a${'.a'.repeat(16)}`
    const problem = await send([deep])
    expect(problem).toMatchObject({ status: 400, code: 'INVALID_SAFETENSORS' })
    expect(problem.errors[0]).toEqual({ path: `/${deep}`, message: 'expected a name of at most 16 levels' })
  })

  it('may have a request of any length in it', async () => {
    const wrt = Array.from({ length: 5000 }, (_, at) => `params.layers.${at % 2}`)
    const detail = (await send(['x'], { stack, backward: { target: x, wrt } })).detail
    expect(detail).toMatch(/^\/x: expected rank 2 or 3/)
  })
})

describe('a large stack', () => {
  const large = {
    x: { shape: [2, 3, 4] },
    stack: { layers: 256, heads: 2, norm: 'pre', activation: 'swiglu', init: { bias: true } },
    return: ['output', 'weights', 'scores', 'entropy', 'params'],
    backward: { target: { shape: [2, 3, 4] } },
  }
  /** large, but soon computed */
  const run = {
    ...large,
    x: [[1, 2, 3, 4]],
    stack: { ...large.stack, layers: 24 },
    backward: { target: [[1, 2, 3, 4]] },
  }
  const { engine } = server.app
  const intake = { engine, arrivals: new Arrivals(1 << 20), mostBytes: 0, bodySeconds: 1 }
  // a tree has no prototypes
  const tree = JSON.parse(JSON.stringify(large), (_, value) =>
    typeof value === 'object' && !Array.isArray(value) ? Object.assign(Object.create(null), value) : value,
  )
  const NO_ROOM = { room: () => new Uint8Array(0) }
  const planning = (signal: AbortSignal) =>
    plan(transformer, tree, NO_ROOM, request => replyStyle(request as Numerics, 'json'), intake, 'a', signal)

  it('is compiled in slices: everybody else has turns between them', async () => {
    let over = false
    let turns = 0
    const planned = planning(new AbortController().signal).finally(() => {
      over = true
    })
    while (!over) {
      await nextTurn()
      turns++
    }
    expect(turns).toBeGreaterThanOrEqual(10)
    const { shapes, estimate } = await planned
    expect(Object.keys(shapes)).toHaveLength(1 + 3 * 256 + 2 * (17 * 256) + 1)
    expect(estimate.flops).toBeGreaterThan(0)
  })

  it('is compiled no further when its client has left', async () => {
    const gone = new AbortController()
    const planned = planning(gone.signal)
    for (let turn = 0; turn < 3; turn++) await nextTurn()
    gone.abort(new Problem('CLIENT_CLOSED', 'left'))
    await expect(planned).rejects.toMatchObject({ code: 'CLIENT_CLOSED' })
  })

  it('is planned as it is run, and streamed', async () => {
    const body = { ...run, return: ['output'] }
    const [first, second] = await Promise.all([post(server, STACK, body), post(server, STACK, body)])
    expect(first.status).toBe(200)
    expect(second.body).toEqual(first.body)
    const { body: planned } = await post(server, '/v1/plan', { endpoint: STACK, body })
    expect(Object.keys(planned.shapes)).toHaveLength(1 + 1 + 17 * 24)
    const client = await StreamClient.open(server)
    const { return: _, ...streamed } = body
    client.send({ type: 'start', id: 'a', ...streamed, pass: 'forward_backward', emit: [], credit: 0 })
    const done = await client.ended('a')
    expect(done.output).toEqual(first.body.output)
    expect(done.grads.x).toEqual(first.body.grads.x)
    await client.close()
    expect(await settled(server, used)).toBe(used)
  })

  it('answers hundreds of tensors, as JSON and as a file', async () => {
    const json = await post(server, STACK, run)
    expect(json.body.layers).toHaveLength(24)
    expect(Object.keys(json.body.grads.params)).toHaveLength(17 * 24)
    const file = await fetch(server.url + STACK, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: SAFETENSORS_TYPE,
        'accept-encoding': 'identity',
      },
      body: JSON.stringify(run),
    })
    const bytes = Buffer.from(await file.arrayBuffer())
    expect(bytes.length).toBe(Number(file.headers.get('content-length')))
    const header = JSON.parse(bytes.subarray(8, 8 + bytes.readUInt32LE(0)).toString())
    expect(Object.keys(header)).toHaveLength(1 + 1 + 3 * 24 + 2 * 17 * 24 + 1)
  })
})

it('reads many messages of one packet in turns', async () => {
  const client = await StreamClient.open(server)
  for (let at = 0; at < 3000; at++) client.send({ type: 'cancel', id: 'none' })
  client.send({ type: 'credit', id: 'last', add: 1 })
  let turns = 0
  const count = () => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  const last = await client.until(message => message.problem?.detail.includes('"last"'))
  clearImmediate(counting)
  expect(turns).toBeGreaterThanOrEqual(3000 / 64)
  expect(last).toBeDefined()
  expect(client.messages).toHaveLength(3001)
  await client.close()
})
