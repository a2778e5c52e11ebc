/** A diagnosis takes the time that there is: what it leaves out is named, and a client that leaves ends it. */
import { expect, it, vi } from 'vitest'
import { hypothesesOf } from '../../../src/endpoints/compare/hypotheses/list.ts'
import { compare } from '../../../src/endpoints/compare/index.ts'
import { jsonTree } from '../../../src/formats/body.ts'
import { Decoded } from '../../../src/pipeline/decode.ts'
import { diagnose } from '../../../src/pipeline/diagnose.ts'
import { parse } from '../../../src/pipeline/serve.ts'
import { post, startServer } from '../server.ts'
import { kernel } from './kernel.ts'
import { draw } from './tensors.ts'

const server = await startServer()
const bodies = new Decoded('json', server.app.engine)

/** Of a kernel that has forgotten causal mask and window both. */
function wrongCall(rows: number) {
  const [q, k, v] = [1, 2, 3].map(seed => draw(seed, 1, 4, rows, 8))
  return {
    endpoint: '/v1/attention',
    body: { q, k, v, causal: true, window: { left: 3 } },
    candidate: { output: kernel({ q, k, v }).output },
  }
}

/** As the endpoint reads it, its numbers with it. */
function asked(call: object) {
  const text = Buffer.from(JSON.stringify(call))
  const bytes = bodies.room(text.length)
  bytes.set(text)
  const scan = server.app.engine.scanHere(bytes)
  if (scan === undefined) throw new Error('expected a short body')
  return parse(compare.request, jsonTree(bytes, scan))
}

it('names all that there was no time for, and nothing where there was', async () => {
  const { engine } = server.app
  const call = wrongCall(9)
  const request = asked(call)
  const { signal } = new AbortController()
  for (const seconds of [0, 1000]) {
    const { body: report } = await post(server, '/v1/compare', { ...call, diagnose: false })
    const until = performance.now() + 1000 * seconds
    expect(await diagnose(request, report, engine, signal, until)).toEqual([])
    const all = hypothesesOf(request).map(({ says }) => says)
    // every one of them can be tried on this body
    expect(all.length).toBeGreaterThan(15)
    if (seconds > 0) expect(report).not.toHaveProperty('not_tried')
    else expect([...report.not_tried].sort()).toEqual(all.sort())
  }
})

it('tries mistakes without a baseline, and without gradients where the output tells', async () => {
  const { engine } = server.app
  const [q, k, v, gradOutput] = [1, 2, 3, 4].map(seed => draw(seed, 1, 8, 33, 8))
  const { output, grads } = kernel({ q, k, v, gradOutput })
  const wrong = { shape: k.shape, data: grads?.k.data.map(x => 1.01 * x) }
  const body = { q, k, v, backward: { grad_output: gradOutput } }
  const call = {
    endpoint: '/v1/attention',
    body,
    candidate: { output, grads: { k: wrong } },
    rule: { kind: 'baseline', factor: 4 },
  }
  const request = asked(call)
  const { body: report } = await post(server, '/v1/compare', { ...call, diagnose: false })
  const { flops: whole } = (await post(server, '/v1/plan', { endpoint: '/v1/compare', body: call })).body
  let spent = 0
  const until = performance.now() + 1e6
  await diagnose(request, report, engine, new AbortController().signal, until, flops => {
    spent += flops
  })
  const tries = hypothesesOf(request).length
  expect(tries).toBeGreaterThan(15)
  expect(spent).toBeLessThan(0.7 * tries * whole)
})

it('ends where its client leaves, and gives its memory back', async () => {
  const { arena } = server.app.engine
  const used = arena.usedBytes
  const leave = new AbortController()
  // to its end it would take minutes
  const tensor = draw(1, 1, 4, 2000, 8)
  const body = { q: tensor, k: tensor, v: tensor, causal: true, window: { left: 3000 } }
  const asked = fetch(`${server.url}/v1/compare`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ endpoint: '/v1/attention', body, candidate: { output: tensor } }),
    signal: leave.signal,
  })
  await vi.waitUntil(() => arena.usedBytes > used, { timeout: 20_000, interval: 1 })
  setTimeout(() => leave.abort(), 500)
  await expect(asked).rejects.toThrow()
  await vi.waitUntil(() => arena.usedBytes === used, { timeout: 20_000 })
})
