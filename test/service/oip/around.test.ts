/** What /v2 says of the server and its models: health, metadata, statistics, the repository's index. */
import { describe, expect, it } from 'vitest'
import { VERSION } from '../../../src/config.ts'
import { startServer } from '../server.ts'
import { float32, type Input, infer, send } from './message.ts'

const server = await startServer()
const MODELS = ['attention', 'multi-head-attention', 'transformer']
/** with the one that comes with the service */
const LISTED = [...MODELS, 'lesson']

const get = (path: string) => send(server, path, undefined, {}, 'GET')
const tensor = (name: string, shape: number[]): Input => ({
  name,
  datatype: 'FP32',
  shape,
  bytes: float32(...Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)),
})
const qkv = (shape: number[]) => ['q', 'k', 'v'].map(name => tensor(name, shape))

describe('metadata', () => {
  it.each(['/v2', '/v2/'])('%s names the server and its extensions', async path => {
    const extensions = [
      'binary_tensor_data',
      'parameters',
      'statistics',
      'model_repository',
      'model_configuration',
    ]
    const { status, body } = await get(path)
    expect({ status, body }).toEqual({
      status: 200,
      body: { name: 'attention-server', version: VERSION, extensions },
    })
  })

  it('lists the models, and says what each takes and gives', async () => {
    expect((await get('/v2/models')).body).toEqual({ models: LISTED })
    for (const name of MODELS) {
      const { body } = await get(`/v2/models/${name}`)
      expect(body).toMatchObject({ name, versions: ['1'], platform: 'attention-server_wasm' })
      expect(body.outputs.map((each: { name: string }) => each.name)).toEqual(['output'])
      expect((await get(`/v2/models/${name}/versions/1`)).body).toEqual(body)
    }
    expect((await get('/v2/models/attention')).body.inputs).toEqual(
      ['q', 'k', 'v'].map(name => ({ name, datatype: 'FP32', shape: [-1, -1, -1, -1] })),
    )
  })

  it('has an index of the repository, whose models are always there', async () => {
    const index = LISTED.map(name => ({ name, version: '1', state: 'READY', reason: '' }))
    for (const body of [undefined, '{}', '{"ready":true}', '{"ready":false,"more":1}']) {
      expect(await send(server, '/v2/repository/index', body)).toMatchObject({ status: 200, body: index })
    }
    expect((await send(server, '/v2/repository/index', '{"ready":1}')).body.errors[0].path).toBe('/ready')
    for (const action of ['load', 'unload']) {
      const answer = await send(server, `/v2/repository/models/attention/${action}`, '{}')
      expect(answer).toMatchObject({ status: 400 })
      expect(answer.body.error).toContain(`expected no ${action}`)
      expect(await send(server, `/v2/repository/models/none/${action}`, '{}')).toMatchObject({ status: 404 })
    }
  })
})

describe('what is not there', () => {
  it.each([
    '/v2/models/none',
    '/v2/models/none/ready',
    '/v2/models/none/stats',
    '/v2/models/attention/versions/2',
    '/v2/models/attention/versions/2/ready',
    '/v2/models/attention/versions/01/stats',
    '/v2/models/constructor',
    '/v2/none',
  ])('%s is a 404 with the error in both forms', async path => {
    const { status, headers, body } = await get(path)
    expect(status).toBe(404)
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body).toMatchObject({
      status: 404,
      code: 'NOT_FOUND',
      error: body.detail,
      title: 'No such resource',
    })
  })

  it('nor a model or version to infer with', async () => {
    for (const name of ['none', 'attention/versions/2', 'attention/versions/latest']) {
      expect(await infer(server, name, qkv([1, 1]))).toMatchObject({
        status: 404,
        body: { code: 'NOT_FOUND' },
      })
    }
  })

  it('nor another method', async () => {
    for (const [method, path, allowed] of [
      ['GET', '/v2/models/attention/infer', 'POST'],
      ['PUT', '/v2/models/attention/versions/1/infer', 'POST'],
      ['POST', '/v2/models/attention', 'GET, HEAD'],
      ['DELETE', '/v2', 'GET, HEAD'],
      ['GET', '/v2/repository/index', 'POST'],
      ['POST', '/v2/health/live', 'GET, HEAD'],
    ]) {
      const { status, headers, body } = await send(server, path, undefined, {}, method)
      expect({ status, allow: headers.get('allow') }).toEqual({ status: 405, allow: allowed })
      expect(body).toMatchObject({ code: 'METHOD_NOT_ALLOWED', error: body.detail })
    }
  })

  it('and /v1 keeps to its own form of errors', async () => {
    const { body } = await send(server, '/v1/none', undefined, {}, 'GET')
    expect(body).not.toHaveProperty('error')
  })
})

it('calls errors application/json where the request names its model, as the KServe SDK does', async () => {
  const { status, headers, body } = await infer(server, 'attention', qkv([1, 1]).slice(1), {
    model_name: 'attention',
  })
  expect({ status, type: headers.get('content-type') }).toEqual({ status: 400, type: 'application/json' })
  expect(body).toMatchObject({ code: 'INVALID_REQUEST', error: '/inputs: expected an input q, got none' })
})

it('counts what a model has served', async () => {
  const name = 'multi-head-attention'
  const none = { count: 0, ns: 0 }
  const { body: before } = await get(`/v2/models/${name}/stats`)
  expect(before.model_stats).toEqual([
    {
      name,
      version: '1',
      last_inference: 0,
      inference_count: 0,
      execution_count: 0,
      inference_stats: {
        success: none,
        fail: none,
        queue: none,
        compute_input: none,
        compute_infer: none,
        compute_output: none,
        cache_hit: none,
        cache_miss: none,
      },
      response_stats: {},
      batch_stats: [],
      memory_usage: [],
    },
  ])
  const parameters = { heads: 1, request: '{"init":{"scheme":"he_normal"}}' }
  const began = Date.now()
  for (const shape of [
    [3, 2, 4],
    [1, 2, 4],
    [3, 2, 4],
    [2, 4],
  ]) {
    expect((await infer(server, name, [tensor('x', shape)], { parameters })).status).toBe(200)
  }
  expect((await infer(server, name, [tensor('x', [2, 4])])).status).toBe(400)
  const { body: after } = await get(`/v2/models/${name}/versions/1/stats`)
  const [stats] = after.model_stats
  expect(stats).toMatchObject({
    inference_count: 8,
    execution_count: 4,
    inference_stats: {
      success: { count: 4 },
      fail: { count: 1 },
      queue: { count: 4 },
      compute_infer: { count: 4 },
    },
    batch_stats: [
      { batch_size: 1, compute_input: { count: 2 }, compute_infer: { count: 2 } },
      { batch_size: 3, compute_input: { count: 2 }, compute_output: { count: 2 } },
    ],
  })
  expect(stats.last_inference).toBeGreaterThanOrEqual(began)
  const { success, fail, compute_input, compute_infer } = stats.inference_stats
  for (const { ns } of [success, fail, compute_input, compute_infer]) {
    expect(Number.isSafeInteger(ns) && ns > 0).toBe(true)
  }
  expect(success.ns).toBeGreaterThan(compute_infer.ns)
  const { body: all } = await get('/v2/models/stats')
  expect(all.model_stats.map((each: { name: string }) => each.name)).toEqual(LISTED)
  expect(all.model_stats[1]).toEqual(stats)
})

it('tells batches of 64 sizes apart, and counts all', async () => {
  const stack = { layers: 1, d_model: 1, heads: 1, d_ff: 1, init: { scheme: 'he_normal' } }
  const parameters = { request: JSON.stringify({ stack }) }
  for (let batch = 1; batch <= 70; batch++) {
    await infer(server, 'transformer', [tensor('x', [batch, 1, 1])], { parameters })
  }
  const { body } = await get('/v2/models/transformer/stats')
  expect(body.model_stats[0]).toMatchObject({ execution_count: 70, inference_count: 35 * 71 })
  expect(body.model_stats[0].batch_stats).toHaveLength(64)
})

// the last: the server takes nothing more behind it
it('says that it is alive and ready, until it leaves', async () => {
  const ready = { live: true, ready: true }
  expect((await get('/v2/health/live')).body).toEqual(ready)
  expect((await get('/v2/health/ready')).body).toEqual(ready)
  expect((await get('/v2/models/attention/ready')).body).toEqual({ name: 'attention', ready: true })
  server.app.leave()
  expect(await get('/v2/health/live')).toMatchObject({ status: 200, body: { live: true, ready: false } })
  const problem = { code: 'BUSY', error: 'this server is not ready', ready: false, live: true }
  const answer = await get('/v2/health/ready')
  expect(answer).toMatchObject({ status: 503, body: problem })
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  const model = { code: 'BUSY', error: 'model attention is not ready', ready: false, name: 'attention' }
  expect(await get('/v2/models/attention/versions/1/ready')).toMatchObject({ status: 503, body: model })
  // still served
  expect((await infer(server, 'attention', qkv([1, 1]))).status).toBe(200)
  await server.app.drain()
  expect(await get('/v2/health/live')).toMatchObject({ status: 200 })
  expect(await get('/v2/health/ready')).toMatchObject({ status: 503, body: problem })
  const refused = await infer(server, 'attention', qkv([1, 1]))
  expect(refused).toMatchObject({ status: 503, body: { code: 'DRAINING', error: refused.body.detail } })
})
