/** No way of computing passes by a key's budget of FLOPs, and what is spent is what a plan tells. */
import { describe, expect, it } from 'vitest'
import { explainMask } from '../../../src/endpoints/explain-mask/index.ts'
import { SERVED } from '../../../src/endpoints/served.ts'
import { EXAMPLES } from '../../../src/http/docs/examples.ts'
import { MODELS } from '../models/fixture.ts'
import { type Answer, post, startServer } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { addKey, bearer, folder } from './key-file.ts'

const file = `${await folder()}/keys.json`
const free = bearer(await addKey(file, { name: 'free' }))
const none = bearer(await addKey(file, { name: 'none', flops_per_minute: 1e-9 }))
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1', MODELS_DIR: MODELS })

/** A key that the server knows already. */
async function key(name: string, flops_per_minute: number) {
  const added = await addKey(file, { name, flops_per_minute })
  await new Promise(resolve => setTimeout(resolve, 150))
  return bearer(added)
}

const model = { endpoint: '/v1/models/bert/forward', body: { token_ids: [[1, 2, 3]], return: ['output'] } }
/** Everything but what counts pairs, and has no floating-point operations. */
const COMPUTING = SERVED.filter(endpoint => endpoint !== explainMask)
const bodies = [
  ...COMPUTING.map(({ path }) => ({
    endpoint: path,
    body: EXAMPLES.find(each => each.path === path)?.request,
  })),
  model,
]
/** Wrong in one element: there is something to diagnose. */
const q = [
  [1, 2],
  [3, 4],
]
const wrong = {
  endpoint: '/v1/attention',
  body: { q, k: q, v: q },
  candidate: {
    output: [
      [1, 2],
      [9, 9],
    ],
  },
}

const left = ({ headers }: Answer) => Number(headers.get('ratelimit-remaining'))
const refused = { status: 429, code: 'RATE_LIMITED' }

describe.each(bodies)('$endpoint', ({ endpoint, body }) => {
  it('spends what its plan tells, and without a budget computes nothing', async () => {
    const plan = await post(server, '/v1/plan', { endpoint, body }, free)
    expect([plan.status, plan.body.admitted]).toEqual([200, true])
    const { flops } = plan.body
    expect(flops).toBeGreaterThan(0)
    const plenty = await key(`plenty-${endpoint}`.replace(/[^\w-]/g, '-'), 1e15)
    const answer = await post(server, endpoint, body, plenty)
    expect(answer.status).toBe(200)
    // a comparison that fails tries more
    if (endpoint !== '/v1/compare') expect(left(answer)).toBe(1e15 - flops)
    const { status, body: problem, headers } = await post(server, endpoint, body, none)
    expect({ status, code: problem.code }).toEqual(refused)
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await post(server, '/v1/plan', { endpoint, body }, none)).body).toMatchObject({
      admitted: false,
      problem: refused,
    })
  })
})

describe('jobs', () => {
  it.each(bodies.slice(0, -1))(
    'of $endpoint that no minute holds are refused when they are sent',
    async body => {
      const { status, body: problem } = await post(server, '/v1/jobs', body, none)
      expect({ status, code: problem.code }).toEqual(refused)
    },
  )

  it('spend when they run, what they diagnose too', async () => {
    const { flops } = (await post(server, '/v1/plan', { endpoint: '/v1/compare', body: wrong }, free)).body
    const just = await key('just', flops)
    const { body } = await post(server, '/v1/jobs', { endpoint: '/v1/compare', body: wrong }, just)
    const get = async (path: string) =>
      (await fetch(`${server.url}/v1/jobs/${body.id}${path}`, { headers: just })).json() as Promise<
        Answer['body']
      >
    await expect.poll(async () => (await get('')).state).toBe('done')
    const report = await get('/result')
    expect(report.verdict).toBe('fail')
    expect(report.not_tried.length).toBeGreaterThan(5)
    expect(left(await post(server, '/v1/plan', { endpoint: '/v1/compare', body: wrong }, just))).toBe(0)
  })
})

it('a comparison that fails spends what it tries, until the budget ends', async () => {
  const { flops } = (await post(server, '/v1/plan', { endpoint: '/v1/compare', body: wrong }, free)).body
  const all = await post(server, '/v1/compare', wrong, await key('all', 1e15))
  expect(1e15 - left(all)).toBeGreaterThan(3 * flops)
  expect(all.body.not_tried).toBeUndefined()
  const just = await post(server, '/v1/compare', wrong, await key('compare', 1.5 * flops))
  expect([just.status, just.body.verdict, just.body.not_tried.length > 5]).toEqual([200, 'fail', true])
})

it('the Open Inference Protocol spends', async () => {
  const tensor = (name: string) => ({ name, datatype: 'FP32', shape: [1, 1], data: [1] })
  const infer = { inputs: ['q', 'k', 'v'].map(tensor) }
  const tokens = { inputs: [{ name: 'token_ids', datatype: 'INT64', shape: [1, 2], data: [1, 2] }] }
  for (const [name, body] of [
    ['attention', infer],
    ['bert', tokens],
  ] as const) {
    expect((await post(server, `/v2/models/${name}/infer`, body, free)).status).toBe(200)
    expect((await post(server, `/v2/models/${name}/infer`, body, none)).status).toBe(429)
  }
})

it('a model’s further tokens, gradients and relevance spend', async () => {
  const forward = (body: object, headers: Record<string, string>) =>
    post(server, '/v1/models/gpt2/forward', { token_ids: [[1, 2, 3]], ...body }, headers)
  for (const [index, more] of [
    { generate: { max_new_tokens: 3 } },
    { backward: { of: { kind: 'logit', token: 1 }, wrt: ['embeddings'] } },
    {
      return: ['relevance'],
      relevance: { method: 'integrated_gradients', of: { kind: 'logit', token: 1 }, steps: 4 },
    },
  ].entries()) {
    const plain = await forward({}, await key(`plain-${index}`, 1e15))
    const answer = await forward(more, await key(`more-${index}`, 1e15))
    expect([plain.status, answer.status], JSON.stringify(answer.body)).toEqual([200, 200])
    expect(1e15 - left(answer)).toBeGreaterThan(1.5 * (1e15 - left(plain)))
    expect((await forward(more, none)).status).toBe(429)
  }
})

it('streamed runs spend', async () => {
  const client = await StreamClient.open(server, undefined, none)
  client.send({ type: 'start', id: 'a', stack: { layers: 1, heads: 1, init: { seed: 1 } }, x: [[1, 2]] })
  expect(await client.ended('a')).toMatchObject({ type: 'error', problem: refused })
  await client.close()
})

it('what only counts pairs costs requests alone', async () => {
  const { path } = explainMask
  const body = EXAMPLES.find(each => each.path === path)?.request
  expect((await post(server, '/v1/plan', { endpoint: path, body }, none)).body).toMatchObject({
    flops: 0,
    admitted: true,
  })
  expect((await post(server, path, body, none)).status).toBe(200)
})

it('reading the tensors of a job before it is taken costs no FLOPs that a plan tells', async () => {
  const { flops } = (await post(server, '/v1/plan', { endpoint: '/v1/attention', body: wrong.body }, free))
    .body
  const once = await key('once', flops)
  const { body } = await post(server, '/v1/jobs', { endpoint: '/v1/attention', body: wrong.body }, once)
  const state = async () =>
    ((await (await fetch(`${server.url}/v1/jobs/${body.id}`, { headers: once })).json()) as Answer['body'])
      .state
  await expect.poll(state).toBe('done')
})

it('a plan tells of a budget of requests that is used up', async () => {
  const added = bearer(await addKey(file, { name: 'two', requests_per_minute: 2 }))
  await new Promise(resolve => setTimeout(resolve, 150))
  const plan = () => post(server, '/v1/plan', { endpoint: '/v1/attention', body: wrong.body }, added)
  expect((await plan()).body.admitted).toBe(true)
  expect((await plan()).body).toMatchObject({ admitted: false, problem: refused })
  expect((await plan()).status).toBe(429)
})
