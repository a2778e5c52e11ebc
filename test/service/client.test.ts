/** The package's own client, against a server. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Client, type Frame, ProblemError, Tensor, tensor } from '../../src/client/index.ts'
import { startLeavingServer } from '../support/leaving-server.ts'
import { MODELS } from './models/fixture.ts'
import { post, type Server, startServer } from './server.ts'

const X = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const stack = { layers: 2, heads: 2, d_ff: 8, init: { seed: 1 } } as const
let server: Server
let client: Client

beforeAll(async () => {
  server = await startServer()
  client = new Client(`${server.url}/`)
})

const nested = (value: unknown) => (value as Tensor).nested()

describe('requests', () => {
  const asked = { return: ['output', 'weights'], precision: 'float64' } as const

  it('sends typed arrays and gets typed arrays, the same numbers as JSON has', async () => {
    const x = tensor(X, [3, 4], 'float64')
    const found = await client.attention({
      q: x,
      k: x,
      v: x,
      ...asked,
      return: [...asked.return],
      backward: { target: x },
    })
    const json = await post(server, '/v1/attention', { q: X, k: X, v: X, ...asked, backward: { target: X } })
    expect(found.output).toBeInstanceOf(Tensor)
    expect(nested(found.weights)).toEqual(json.body.weights)
    expect(nested(found.grads?.q)).toEqual(json.body.grads.q)
    expect(found.loss).toBe(json.body.loss)
  })

  it('takes nested arrays, with and without typed arrays beside them', async () => {
    const alone = await client.attention({ q: X, k: X, v: X, return: ['weights'] })
    const beside = await client.attention({
      q: tensor(X),
      k: X,
      v: { shape: [3, 4], data: X.flat() },
      return: ['weights'],
    })
    expect(nested(beside.weights)).toEqual(nested(alone.weights))
  })

  it('gives parameters by their names, layers as a list and halves as words', async () => {
    const found = await client.transformer({
      x: tensor(X),
      stack: { ...stack },
      return: ['output', 'weights', 'params'],
      backward: { target: X },
      output_dtype: 'float16',
    })
    expect(found.layers?.map(({ weights }) => weights?.shape)).toEqual([
      [2, 3, 3],
      [2, 3, 3],
    ])
    expect(found.output?.data).toBeInstanceOf(Uint16Array)
    expect(found.grads?.params?.['layers.0.attention.w_q'].shape).toEqual([4, 4])
    const { params } = found
    const again = await client.transformer({ x: tensor(X), stack: { layers: 2, heads: 2, d_ff: 8, params } })
    expect(again.output?.shape).toEqual([3, 4])
  })

  it('asks for plans, comparisons and health', async () => {
    const shape = [1, 8, 4096, 64]
    const plan = await client.plan({
      endpoint: '/v1/attention',
      body: { q: { shape }, k: { shape }, v: { shape } },
    })
    expect(plan.flops).toBeGreaterThan(1e9)
    const { output } = await client.attention({ q: tensor(X), k: X, v: X })
    const report = await client.compare({
      endpoint: '/v1/attention',
      body: { q: tensor(X), k: tensor(X), v: tensor(X) },
      candidate: { output: output as Tensor },
    })
    expect(report.verdict).toBe('pass')
    expect((await client.health()).status).toBe('ok')
  })

  it('throws what the server says', async () => {
    const failed = client.attention({ q: tensor(X), k: tensor([[1, 0]]), v: tensor(X) })
    const problem: ProblemError = await failed.then(
      () => expect.unreachable(),
      error => error,
    )
    expect(problem).toBeInstanceOf(ProblemError)
    expect([problem.status, problem.code]).toEqual([400, 'SHAPE_MISMATCH'])
    expect(problem.errors[0].path).toBe('/k')
    expect(problem.requestId).toBeDefined()
  })
})

describe('tensors', () => {
  it('have the elements that their shapes say', () => {
    expect(() => new Tensor(new Float32Array(5), [2, 3])).toThrow('expected 6 elements')
    expect(() => tensor([[1, 2], [3]])).toThrow('expected arrays of the shape [2, 2]')
    expect(tensor([[true, false]]).dtype).toBe('bool')
    expect(tensor(2).nested()).toBe(2)
    expect(tensor([], [0, 3]).nested()).toEqual([])
    expect(new Tensor(new Uint16Array([0x3c00, 0x8001]), [2], 'float16').nested()).toEqual([1, -(2 ** -24)])
    expect(new Tensor(new Uint16Array([0x3f80]), [1], 'bfloat16').nested()).toEqual([1])
    expect(new Tensor(new BigInt64Array([3n])).nested()).toEqual([3])
  })
})

describe('what is busy', () => {
  let answers: { status: number; retryAfter?: string }[]
  let times: number
  const busy = createServer((_request, response) => {
    times++
    const { status, retryAfter } = answers.shift() ?? { status: 200, retryAfter: undefined }
    if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter)
    response.writeHead(status, {
      'content-type': status === 200 ? 'application/json' : 'application/problem+json',
    })
    response.end(JSON.stringify(status === 200 ? { fine: true } : { code: 'BUSY', detail: 'busy' }))
  })
  let url: string

  beforeAll(async () => {
    await new Promise<void>(resolve => busy.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(busy.address() as AddressInfo).port}`
  })
  afterAll(() => busy.close())

  const ask = (given: typeof answers, options = {}) => {
    answers = given
    times = 0
    return new Client(url, options).post('/v1/x', {})
  }

  it('is tried again, when the server says', async () => {
    await expect(
      ask([
        { status: 503, retryAfter: '1' },
        { status: 429, retryAfter: '0' },
      ]),
    ).resolves.toEqual({ fine: true })
    expect(times).toBe(3)
    // less than the server asks for would be too early
    const early = ask([{ status: 503, retryAfter: '1' }], { maxRetrySeconds: 0.9 })
    await expect(early).rejects.toMatchObject({ retryAfter: 1 })
    expect(times).toBe(1)
  })

  it('is not tried for ever, nor later than the caller waits, nor where trying changes nothing', async () => {
    const never = Array.from({ length: 9 }, () => ({ status: 503, retryAfter: '0' }))
    await expect(ask(never, { retries: 2 })).rejects.toThrow('BUSY')
    expect(times).toBe(3)
    await expect(ask([{ status: 503, retryAfter: '3600' }])).rejects.toMatchObject({ retryAfter: 3600 })
    await expect(ask([{ status: 413 }])).rejects.toMatchObject({ status: 413 })
    expect(times).toBe(1)
  })

  it('is no longer waited for when the caller stops', async () => {
    answers = [{ status: 503, retryAfter: '20' }]
    const waiting = new Client(url).post('/v1/x', {}, { signal: AbortSignal.timeout(50) })
    await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})

describe('jobs', () => {
  const x = tensor(X)
  const body = { q: x, k: x, v: x, return: ['output' as const, 'weights' as const], backward: { target: x } }

  it('are submitted, waited for and answered, with the bits of the request itself', async () => {
    const direct = await client.attention(body)
    const { id } = await client.jobs.submit('/v1/attention', body, { priority: 3 })
    const seen: string[] = []
    const job = await client.jobs.wait(id, { onChange: ({ state }) => seen.push(state) })
    expect(job).toMatchObject({ id, state: 'done', priority: 3, endpoint: '/v1/attention' })
    expect(seen.at(-1)).toBe('done')
    const found = await client.jobs.result<typeof direct>(id)
    expect(found.weights?.data).toEqual(direct.weights?.data)
    expect(found.grads?.q?.data).toEqual(direct.grads?.q?.data)
    expect(found.loss).toBe(direct.loss)
    expect((await client.jobs.get(id)).result).toBe(`/v1/jobs/${id}/result`)
    const again = await client.jobs.run('/v1/attention', body)
    expect(again.output?.data).toEqual(direct.output?.data)
  })

  it('are one where the key and the request are', async () => {
    const options = { idempotencyKey: 'one' }
    const first = await client.jobs.submit('/v1/attention', { q: X, k: X, v: X }, options)
    const second = await client.jobs.submit('/v1/attention', { q: X, k: X, v: X }, options)
    expect(second.id).toBe(first.id)
    const other = client.jobs.submit('/v1/attention', { q: X, k: X, v: X, causal: true }, options)
    await expect(other).rejects.toMatchObject({ status: 409 })
    expect((await client.jobs.submit('/v1/attention', { q: X, k: X, v: X })).id).not.toBe(first.id)
  })

  it('are cancelled, and throw what is wrong with them', async () => {
    const large = { x: tensor(new Float32Array(2048 * 64), [2048, 64]), stack: { ...stack, layers: 64 } }
    const { id } = await client.jobs.submit('/v1/transformer', large)
    const cancelled = await client.jobs.cancel(id)
    expect(cancelled.state).toBe('cancelled')
    expect((await client.jobs.wait(id)).state).toBe('cancelled')
    await expect(client.jobs.result(id)).rejects.toBeInstanceOf(ProblemError)
    await expect(client.jobs.get('none')).rejects.toMatchObject({ status: 404 })
    const wrong = client.jobs.submit('/v1/attention', { q: X, k: [[1]], v: X })
    await expect(wrong).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' })
    const stop = new AbortController()
    const running = client.jobs.run('/v1/transformer', large, {
      signal: stop.signal,
      onChange: () => stop.abort(),
    })
    await expect(running).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('are heard of again where the connection was lost', async () => {
    const job = (state: string) => `data: ${JSON.stringify({ id: 'a', state })}\n\n`
    const answers = [
      `retry: 1000\n\n${job('queued')}: alive\n\n${job('running').slice(0, 9)}`,
      job('queued'),
      job('done'),
    ]
    const asked: string[] = []
    const fetch = async (url: unknown) => {
      asked.push(String(url))
      return new Response(answers.shift(), { headers: { 'content-type': 'text/event-stream' } })
    }
    const lost = new Client('http://a', { fetch: fetch as typeof globalThis.fetch })
    const states: string[] = []
    for await (const { state } of lost.jobs.events('a')) states.push(state)
    expect(states).toEqual(['queued', 'done'])
    expect(asked).toEqual(Array(3).fill('http://a/v1/jobs/a/events'))
    const never = new Client('http://a', { fetch: (async () => new Response('')) as never, retries: 0 })
    await expect(never.jobs.wait('a')).rejects.toThrow('ended before it did')
  })
})

describe('models', () => {
  it('are listed, described and run over text', async () => {
    const models = new Client((await startServer({ MODELS_DIR: MODELS })).url).models
    const { models: all } = await models.list()
    expect(all.map(({ name }) => name)).toEqual(expect.arrayContaining(['bert', 't5']))
    const bert = await models.get('bert')
    expect(bert).toMatchObject({ family: 'bert' })
    const answer = await models.forward('bert', {
      text: ['a cat', 'the dog ran'],
      layers: [1],
      return: ['output', 'weights'],
    })
    expect(answer.output?.shape).toEqual([2, answer.tokens.ids[0].length, bert.d_model])
    expect(answer.layers?.[0]).toMatchObject({ index: 1, weights: expect.any(Tensor) })
    await expect(models.get('no/such')).rejects.toMatchObject({ status: 404, code: 'MODEL_NOT_FOUND' })
  })
})

it('says its key, as Bearer, and in a ticket where a browser could not', async () => {
  const seen: [string, string | null][] = []
  const asking = (async (url: string, init: RequestInit) => {
    seen.push([new URL(url).pathname, new Headers(init.headers).get('authorization')])
    return fetch(url, init)
  }) as typeof fetch
  const keyed = new Client(server.url, { key: 'secret', fetch: asking })
  await keyed.attention({ q: X, k: X, v: X })
  await keyed.jobs.submit('/v1/attention', { q: X, k: X, v: X })
  expect(await keyed.streamTicket()).toMatchObject({
    ticket: expect.any(String),
    expires_in: expect.any(Number),
  })
  for await (const frame of keyed.stream({ stack: { ...stack }, x: tensor(X) }))
    if (frame.type === 'done') break
  await keyed.health()
  const paths = ['/v1/attention', '/v1/jobs', '/v1/stream-ticket', '/v1/stream-ticket', '/health/ready']
  expect(seen).toEqual(paths.map(path => [path, 'Bearer secret']))
})

describe('streams', () => {
  const request = { stack: { ...stack }, x: tensor(X), emit: ['weights' as const], credit: 1 }

  it('gives the frames of a run in order, as many as there are with one credit', async () => {
    const frames: Frame[] = []
    for await (const frame of client.stream({ ...request, stack: { ...stack, layers: 5 } }))
      frames.push(frame)
    const layers = frames.filter(frame => frame.type === 'layer')
    expect(layers.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4])
    expect(layers[0].tensors.weights).toBeInstanceOf(Tensor)
    expect(frames.at(-1)?.type).toBe('done')
  })

  it('goes on on another server where one shuts down: the same frames, each once', async () => {
    const asked = { ...request, stack: { ...stack, layers: 4 } }
    const framesOf = async (from: Client) => {
      const frames: Frame[] = []
      for await (const frame of from.stream(asked)) if (frame.type !== 'progress') frames.push(frame)
      return frames.map(frame => JSON.stringify({ ...frame, timing: undefined, plan: undefined }))
    }
    const leaving = await startLeavingServer(server.url, 2)
    onTestFinished(() => leaving.close())
    expect(await framesOf(new Client(leaving.url))).toEqual(await framesOf(client))
    expect(leaving.starts).toHaveLength(2)
    expect(leaving.starts[1]).toContain('from_layer')
    const never = await startLeavingServer(server.url, 100)
    onTestFinished(() => never.close())
    const lost = new Client(never.url).stream(asked)
    await expect(Array.fromAsync(lost)).rejects.toThrow('no stream')
  })

  it('ends the run when its reader leaves, and throws what the server says', async () => {
    for await (const frame of client.stream(request)) if (frame.type === 'layer') break
    const wrong = client.stream({ ...request, x: tensor([[1, 2, 3]]) })
    await expect(wrong.next()).rejects.toMatchObject({ status: 400 })
    const stopped = client.stream(request, { signal: AbortSignal.abort(new Error('enough')) })
    await expect(stopped.next()).rejects.toThrow('enough')
  })
})

it('is at most 15 kB for a browser, and needs nothing of Node', async () => {
  const entry = new URL('../../src/client/index.ts', import.meta.url).pathname
  const output = await build({
    logLevel: 'silent',
    configFile: false,
    build: { write: false, lib: { entry, formats: ['es'] }, minify: true },
  })
  const [{ output: chunks }] = [output].flat() as { output: { code?: string }[] }[]
  const code = chunks.map(({ code = '' }) => code).join('')
  expect(code).not.toMatch(/node:|require\(/)
  expect(gzipSync(code).length).toBeLessThan(15_000)
})
