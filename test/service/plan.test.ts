/** `POST /v1/plan` of every endpoint: the shapes of the answer, from shapes alone. */
import { describe, expect, it, vi } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { readFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'

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
    const runs = vi.spyOn(server.app.compute, 'run')
    const used = server.app.compute.arena.usedBytes
    for (const planned of [body, shapes(body)]) {
      const plan = await post(server, '/v1/plan', { endpoint: path, body: planned })
      expect(plan.body.admitted, JSON.stringify(plan.body)).toBe(true)
      expect(plan.body.shapes).toEqual(Object.fromEntries(answered))
      expect(plan.headers.get('server-timing')).toMatch(
        /queue;dur=0\.000, compute;dur=0\.000, encode;dur=0\.000$/,
      )
    }
    expect(runs).not.toHaveBeenCalled()
    runs.mockRestore()
    expect(await settled(server, used)).toBe(used)
  })
})
