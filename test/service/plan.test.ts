/** `POST /v1/plan` of every endpoint: the shapes of the answer, from shapes alone. */
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { readFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from './server.ts'

const server = await startServer()

const SELF = '/v1/self-attention'
const MULTI = '/v1/multi-head-attention'
const STACK = '/v1/transformer'
const POSITIONS = '/v1/positional-encoding'

describe('a plan', () => {
  const draw = drawer(1)
  const bodies: [string, Record<string, unknown>][] = [
    [
      '/v1/attention',
      {
        q: draw(2, 3, 5, 4),
        k: draw(2, 1, 6, 4),
        v: draw(2, 1, 6, 3),
        mask: draw(5, 6),
        backward: { target: draw(2, 3, 5, 3) },
        return: ['weights', 'logsumexp'],
      },
    ],
    [
      SELF,
      {
        x: draw(2, 5, 4),
        params: { w_q: draw(4, 3), w_k: draw(4, 3), w_v: draw(4, 2) },
        backward: { grad_output: draw(2, 5, 2), entropy_weight: 1 },
      },
    ],
    [
      MULTI,
      {
        x: draw(5, 4),
        context: draw(6, 3),
        heads: 2,
        init: { bias: true },
        past_k: draw(2, 2, 2),
        past_v: draw(2, 2, 2),
        backward: { target: draw(5, 4), wrt: ['params', 'past_k'] },
        return: ['output', 'params', 'entropy'],
      },
    ],
    [POSITIONS, { kind: 'rope', x: draw(2, 5, 4), backward: { target: draw(2, 5, 4) } }],
    [POSITIONS, { kind: 'alibi', length: 5, heads: 3 }],
    [
      STACK,
      {
        x: draw(2, 5, 4),
        stack: { layers: 2, heads: 2, norm: 'pre', init: {} },
        mask: draw(5, 5),
        backward: { target: draw(2, 5, 4) },
        return: ['weights', 'params'],
      },
    ],
  ]

  /** The same with shapes alone in place of tensors. */
  function shapes(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    if ('shape' in value) return { shape: value.shape }
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shapes(member)]))
  }

  it.each(bodies)('%s: has the shapes of the answer, and computes nothing', async (path, body) => {
    const file = { method: 'POST', headers: { 'content-type': 'application/json', accept: SAFETENSORS_TYPE } }
    const response = await fetch(server.url + path, { ...file, body: JSON.stringify(body) })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(response.status, bytes.toString()).toBe(200)
    const answered = Object.entries(readFile(bytes).tensors).map(([name, { shape }]) => [name, shape])
    for (const planned of [body, shapes(body)]) {
      const plan = await post(server, '/v1/plan', { endpoint: path, body: planned })
      expect(plan.body.admitted, JSON.stringify(plan.body)).toBe(true)
      expect(plan.body.shapes).toEqual(Object.fromEntries(answered))
      expect(plan.headers.get('server-timing')).toBe(
        'decode;dur=0.000, queue;dur=0.000, compute;dur=0.000, encode;dur=0.000',
      )
    }
  })

  it.each(['nested', 'base64'])(
    'says the memory that the request takes, its %s answer included',
    async encoding => {
      // a large answer is written window by window, a small one by the program
      for (const n of [5, 600]) {
        const rows = draw(1, 1, n, 4)
        const body = {
          q: rows,
          k: rows,
          v: rows,
          encoding,
          return: ['weights', 'output'],
          backward: { target: rows },
        }
        const plan = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
        server.log.length = 0
        const answer = await post(server, '/v1/attention', body)
        expect(answer.status).toBe(200)
        await expect.poll(() => server.log.length).toBeGreaterThan(0)
        const [line] = server.log.map(text => JSON.parse(text))
        expect({ bytes: plan.body.bytes, flops: plan.body.flops }).toEqual({
          bytes: line.bytes,
          flops: line.flops,
        })
      }
    },
  )

  it('names fields where they stand in its own body, in the detail too', async () => {
    const q = [[1, 2]]
    const wrong: [object, string, RegExp][] = [
      [{ q, k: [[1]], v: q }, '/body/k', /^\/body\/k: expected \[M, 2\]/],
      [{ q, k: q }, '/body/v', /^\/body\/v: expected/],
      [{ q, k: q, v: [[null]] }, '/body/v/0/0', /^\/body\/v\/0\/0: expected/],
      [{ q, k: q, v: [[1, null]] }, '/body/v/0/1', /^\/body\/v\/0\/1: expected/],
    ]
    for (const [body, path, detail] of wrong) {
      const answer = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
      expect(answer.body).toMatchObject({
        status: 400,
        detail: expect.stringMatching(detail),
        errors: [{ path }],
      })
    }
    const names = ['/v1/attentions', 'v1/attention', '/v1/jobs', '/v1/models/lesson', ''].map(endpoint => ({
      endpoint,
    }))
    for (const wrong of [...names, {}]) {
      for (const path of ['/v1/plan', '/v1/jobs']) {
        const { body } = await post(server, path, { ...wrong, body: {} })
        expect(body).toMatchObject({ status: 400, errors: [{ path: '/endpoint' }] })
        for (const known of ['"/v1/attention"', '"/v1/explain-mask"']) expect(body.detail).toContain(known)
        if ('endpoint' in wrong) expect(body.detail).toContain('or /v1/models/{name}/forward, got')
      }
    }
  })
})
