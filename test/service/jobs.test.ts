/** `/v1/jobs` from outside: the same answers as a request that is waited for. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile as readFileOf, rm, writeFile as writeFileTo } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { float32, readFile, writeFile } from './safetensors-file.ts'
import { type Answer, JSON_TYPE, post, SAFETENSORS_TYPE, startServer } from './server.ts'

const server = await startServer({ JOBS_AT_ONCE: '1' })
const draw = drawer(1)
const POLL = { timeout: 30_000 }
const Q = [
  [1, 0],
  [0, 1],
]
const BODY = { q: Q, k: Q, v: Q, return: ['output', 'weights'], backward: { target: Q } }

const submit = (body: unknown, headers = {}) => post(server, '/v1/jobs', body, headers)
const get = (path: string, headers: Record<string, string> = {}) => fetch(server.url + path, { headers })
const bodyOf = async (response: Response): Promise<Answer['body']> => response.json()
const json = async (path: string) => bodyOf(await get(path))

async function ended(location: string): Promise<Answer['body']> {
  for (;;) {
    const job = await json(location)
    if (!['queued', 'running'].includes(job.state)) return job
    await wait(5)
  }
}

/** About a second of work. */
const LONG = {
  endpoint: '/v1/attention',
  body: {
    q: { shape: [1, 4, 700, 32], dtype: 'float32', base64: zeros(4 * 700 * 32) },
    k: { shape: [1, 4, 700, 32], dtype: 'float32', base64: zeros(4 * 700 * 32) },
    v: { shape: [1, 4, 700, 32], dtype: 'float32', base64: zeros(4 * 700 * 32) },
    precision: 'float64',
    return: ['output'],
  },
}

function zeros(count: number): string {
  return Buffer.alloc(4 * count).toString('base64')
}

describe('a job', () => {
  it('is taken, runs, and its result has the bytes of the answer over HTTP, in every encoding', async () => {
    const names = [
      '/v1/attention',
      '/v1/transformer',
      '/v1/compare',
      '/v1/gradient-check',
      '/v1/explain-mask',
    ]
    for (const endpoint of names) {
      const x = draw(2, 5, 4)
      const bodies: Record<string, object> = {
        '/v1/attention': { ...BODY, attention_kind: { kind: 'local', window: 1 }, compare_exact: true },
        '/v1/transformer': {
          x,
          stack: { layers: 2, heads: 2, init: {} },
          backward: { target: x },
          return: ['weights', 'output'],
        },
        '/v1/compare': { endpoint: '/v1/attention', body: { q: Q, k: Q, v: Q }, candidate: { output: Q } },
        '/v1/gradient-check': {
          endpoint: '/v1/attention',
          body: { q: Q, k: Q, v: Q, backward: { target: Q } },
        },
        '/v1/explain-mask': { body: { q: Q, k: Q, v: Q, causal: true }, map: true },
      }
      const numerics =
        names.indexOf(endpoint) >= 2
          ? [{}]
          : [{}, { precision: 'float64', encoding: 'base64' }, { output_dtype: 'float16', encoding: 'flat' }]
      for (const more of numerics) {
        const body = { ...bodies[endpoint], ...more }
        const taken = await submit({ endpoint, body })
        expect(taken.status, JSON.stringify(taken.body)).toBe(202)
        expect(taken.body).toMatchObject({ endpoint, priority: 0, progress: {} })
        const location = taken.headers.get('location') as string
        expect(location).toBe(`/v1/jobs/${taken.body.id}`)
        const job = await ended(location)
        expect(job).toMatchObject({ state: 'done', result: `${location}/result` })
        expect(job.progress.done).toBe(job.progress.total)
        for (const accept of [JSON_TYPE, SAFETENSORS_TYPE]) {
          const result = await get(`${location}/result`, { accept })
          const waited = await fetch(server.url + endpoint, {
            method: 'POST',
            headers: { 'content-type': JSON_TYPE, accept },
            body: JSON.stringify(body),
          })
          expect(result.status).toBe(200)
          expect(result.headers.get('content-type')).toBe(accept === JSON_TYPE ? JSON_TYPE : SAFETENSORS_TYPE)
          const bytes = Buffer.from(await result.arrayBuffer())
          const expected = Buffer.from(await waited.arrayBuffer())
          if (accept === JSON_TYPE)
            expect(JSON.parse(bytes.toString())).toEqual(JSON.parse(expected.toString()))
          else expect(bytes.equals(expected)).toBe(true)
        }
      }
    }
  })

  it('may come as a safetensors file, and its result be asked for in another encoding', async () => {
    const x = float32([1, 0, 0, 1], [2, 2])
    const request = JSON.stringify({ endpoint: '/v1/attention', body: { causal: true }, priority: 3 })
    const file = writeFile({ 'body.q': x, 'body.k': x, 'body.v': x }, { request })
    const taken = await fetch(`${server.url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE },
      body: file,
    })
    expect(taken.status).toBe(202)
    const { id, priority } = await bodyOf(taken)
    expect(priority).toBe(3)
    await ended(`/v1/jobs/${id}`)
    const flat = await json(`/v1/jobs/${id}/result?encoding=flat`)
    expect(flat.output).toMatchObject({ shape: [2, 2], dtype: 'float32' })
    const digest = await get(`/v1/jobs/${id}/result`, {
      accept: SAFETENSORS_TYPE,
      'want-repr-digest': 'sha-256=1',
    })
    expect(digest.headers.get('repr-digest')).toMatch(/^sha-256=:.{44}:$/)
    expect(readFile(Buffer.from(await digest.arrayBuffer())).tensors.output.shape).toEqual([2, 2])
    expect((await get(`/v1/jobs/${id}/result?encoding=hex`)).status).toBe(400)
  })

  it('is refused at once where its body is wrong: names, shapes, and every element', async () => {
    const wrong: [unknown, string][] = [
      [{ endpoint: '/v1/attention', body: { q: Q, k: Q } }, '/body/v'],
      [{ endpoint: '/v1/attention', body: { q: Q, k: [[1]], v: Q } }, '/body/k'],
      [
        {
          endpoint: '/v1/attention',
          body: {
            q: Q,
            k: Q,
            v: [
              ['NaN', 1],
              [0, 0],
            ],
          },
        },
        '/body/v/0/0',
      ],
      [
        {
          endpoint: '/v1/attention',
          body: { q: Q, k: Q, v: { shape: [2, 2], dtype: 'float32', base64: 'AAAAAAAAAAAAAAAAAAAA*A==' } },
        },
        '/body/v',
      ],
      [{ endpoint: '/v1/nothing', body: {} }, '/endpoint'],
      [{ endpoint: '/v1/attention' }, '/body'],
      [{ endpoint: '/v1/attention', body: BODY, priority: -1 }, '/priority'],
      [{ endpoint: '/v1/attention', body: BODY, more: 1 }, ''],
    ]
    for (const [body, path] of wrong) {
      const { status, body: problem, headers } = await submit(body)
      expect(status, JSON.stringify(problem)).toBe(400)
      expect(headers.get('content-type')).toBe('application/problem+json')
      expect(problem.errors[0].path).toContain(path)
    }
    expect((await submit('{')).body.code).toBe('INVALID_JSON')
    const text = await fetch(`${server.url}/v1/jobs`, { method: 'POST', body: 'q' })
    expect(text.status).toBe(415)
  })

  it('answers 409 with progress while it has no result, 404 where there is none', async () => {
    const blocking = await submit(LONG)
    const waiting = await submit({ endpoint: '/v1/attention', body: BODY })
    const result = await get(`/v1/jobs/${waiting.body.id}/result`)
    expect(result.status).toBe(409)
    expect(await bodyOf(result)).toMatchObject({
      code: 'JOB_NOT_READY',
      state: 'queued',
      progress: { done: 0 },
    })
    for (const id of ['nobody', '%00', 'x'.repeat(3000), randomUUID()]) {
      for (const path of ['', '/result', '/events']) {
        const unknown = await get(`/v1/jobs/${id}${path}`)
        expect(unknown.status).toBe(404)
        const { code, detail } = await bodyOf(unknown)
        expect(code).toBe('NOT_FOUND')
        expect(detail.length).toBeLessThan(60)
      }
    }
    const gone = await fetch(`${server.url}/v1/jobs/nobody`, { method: 'DELETE' })
    expect(gone.status).toBe(404)
    // both are cancelled: one runs, one waits
    for (const { body } of [waiting, blocking]) {
      const cancelled = await fetch(`${server.url}/v1/jobs/${body.id}`, { method: 'DELETE' })
      expect(cancelled.status).toBe(200)
      expect((await bodyOf(cancelled)).state).toBe('cancelled')
      expect((await ended(`/v1/jobs/${body.id}`)).state).toBe('cancelled')
      const none = await get(`/v1/jobs/${body.id}/result`)
      expect(none.status).toBe(409)
      expect((await bodyOf(none)).code).toBe('JOB_CANCELLED')
    }
  })

  it('is the same one under an Idempotency-Key; another body is a 409 with both digests', async () => {
    const order = { endpoint: '/v1/attention', body: BODY }
    const headers = { 'idempotency-key': 'abc' }
    const [one, two] = await Promise.all([submit(order, headers), submit(order, headers)])
    const three = await submit(order, headers)
    expect([one.status, two.status, three.status]).toEqual([202, 202, 202])
    expect(new Set([one, two, three].map(({ body }) => body.id)).size).toBe(1)
    expect(three.headers.get('location')).toBe(`/v1/jobs/${one.body.id}`)
    const other = await submit({ ...order, priority: 1 }, headers)
    expect(other.status).toBe(409)
    expect(other.body.code).toBe('IDEMPOTENCY_KEY_REUSED')
    expect(new Set(other.body.detail.match(/\b[0-9a-f]{64}\b/g)).size).toBe(2)
    const without = await submit(order)
    expect(without.body.id).not.toBe(one.body.id)
  })

  it('tells how it goes in server-sent events, to its end', async () => {
    const { body } = await submit(LONG)
    const response = await get(`/v1/jobs/${body.id}/events`)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const text = await response.text()
    const states = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data))
    expect(states.at(-1)).toMatchObject({ id: body.id, state: 'done' })
    const again = await get(`/v1/jobs/${body.id}/events`, { 'last-event-id': 'end' })
    expect(again.status).toBe(204)
    const late = await (await get(`/v1/jobs/${body.id}/events`)).text()
    expect(late).toContain('"state":"done"')
  })

  it('takes DELETE and GET, no other method', async () => {
    const { body } = await submit({ endpoint: '/v1/attention', body: BODY })
    const put = await fetch(`${server.url}/v1/jobs/${body.id}`, { method: 'PUT' })
    expect(put.status).toBe(405)
    expect(put.headers.get('allow')).toContain('DELETE')
  })

  it('is counted', async () => {
    const text = await (await get('/metrics')).text()
    expect(text).toMatch(/^attention_queue_jobs\{state="done"\} \d+$/m)
    expect(text).toMatch(/^attention_queue_available 1$/m)
  })
})

describe('limits', async () => {
  const small = await startServer({
    JOBS_QUEUED: '2',
    JOBS_AT_ONCE: '1',
    JOB_RESULT_SECONDS: '0.2',
    STORE_BYTES: '4000000',
  })

  it('holds so many jobs of all and of one key, and no result longer than it is kept', async () => {
    const done = await post(small, '/v1/jobs', { endpoint: '/v1/attention', body: BODY })
    await expect
      .poll(async () => (await bodyOf(await fetch(`${small.url}/v1/jobs/${done.body.id}`))).state, POLL)
      .toBe('expired')
    const expired = await fetch(`${small.url}/v1/jobs/${done.body.id}/result`)
    expect(expired.status).toBe(410)
    expect((await bodyOf(expired)).code).toBe('JOB_EXPIRED')

    await post(small, '/v1/jobs', LONG)
    const more = await post(small, '/v1/jobs', LONG)
    expect(more.status, JSON.stringify(more.body)).toBe(429)
    expect(more.headers.get('retry-after')).toBeTruthy()
  })

  it('fails a job that takes longer than it may', async () => {
    const hasty = await startServer({ JOB_SECONDS: '0.1' })
    const { body } = await post(hasty, '/v1/jobs', LONG)
    await expect
      .poll(async () => bodyOf(await fetch(`${hasty.url}/v1/jobs/${body.id}`)), POLL)
      .toMatchObject({ state: 'failed', problem: { status: 504, code: 'DEADLINE_EXCEEDED' } })
    const failed = await fetch(`${hasty.url}/v1/jobs/${body.id}/result`)
    expect(failed.status).toBe(504)
  })

  it('takes no body that the store cannot hold', async () => {
    const body = { q: { shape: [1, 16, 64000], dtype: 'float32', base64: zeros(16 * 64000) } }
    const answer = await post(small, '/v1/jobs', { endpoint: '/v1/attention', body })
    expect(answer.status).toBe(413)
    expect(answer.body.code).toBe('BODY_TOO_LARGE')
  })
})

describe('a store that has lost or changed what it was given', () => {
  const changes: [string, (bytes: Buffer) => Buffer][] = [
    ['a shorter file', bytes => bytes.subarray(0, bytes.length - 1)],
    ['an empty file', () => Buffer.alloc(0)],
    ['another byte', bytes => Buffer.from(bytes).fill(bytes[bytes.length - 1] ^ 1, bytes.length - 1)],
  ]

  it.each(changes)('gives no other numbers: %s', async (_name, change) => {
    const folder = await mkdtemp(join(tmpdir(), 'store-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const careless = await startServer({ STORE_URL: pathToFileURL(folder).href })
    const { body } = await post(careless, '/v1/jobs', { endpoint: '/v1/attention', body: BODY })
    const path = `${careless.url}/v1/jobs/${body.id}`
    await expect.poll(async () => bodyOf(await fetch(path)), POLL).toMatchObject({ state: 'done' })
    const [before, after] = await Promise.all(
      (await readdir(join(folder, body.id))).map(async name => {
        const file = join(folder, body.id, name)
        return { file, bytes: await readFileOf(file), result: (await readFileOf(file)).includes('response') }
      }),
    )
    const result = before.result ? before : after
    await writeFileTo(result.file, change(result.bytes))
    const answer = await fetch(`${path}/result`)
    expect(answer.status).toBe(503)
    expect(await bodyOf(answer)).toMatchObject({ code: 'STORE_UNAVAILABLE' })
    // of a file nothing, or no whole answer: it may have begun to leave before it is known
    const whole = async () => {
      const file = await fetch(`${path}/result`, { headers: { accept: SAFETENSORS_TYPE } })
      if (file.status === 503) throw new Error('refused')
      await file.arrayBuffer()
    }
    await expect(whole()).rejects.toThrow()
  })
})

it('takes no job that would be lost with it, while it still answers requests', async () => {
  const leaving = await startServer()
  leaving.app.leave()
  const job = await post(leaving, '/v1/jobs', { endpoint: '/v1/attention', body: BODY })
  expect(job).toMatchObject({ status: 503, body: { code: 'DRAINING' } })
  expect(job.headers.get('retry-after')).toBeTruthy()
  expect((await post(leaving, '/v1/attention', BODY)).status).toBe(200)
})
