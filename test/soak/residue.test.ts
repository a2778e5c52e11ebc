/** What stood in the memory before says nothing to anybody: answers are the same bytes, whatever fresh memory is filled with. */
import * as fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { requests, stacks } from '../fuzz/requests.ts'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from '../service/server.ts'
import { StreamClient } from '../service/stream-client.ts'
import { answerOf } from './answer.ts'
import { SCALE, SEED } from './scale.ts'

const servers = await Promise.all([0x00, 0xff, 0x41].map(fill => startServer({ MAX_FLOPS: '1e8' }, { fill })))
const before = servers.map(({ app }) => app.engine.arena.usedBytes)

function expectSame(answers: unknown[]): void {
  for (const answer of answers.slice(1)) expect(answer).toEqual(answers[0])
}

const statuses = new Map<string, number>()

it('of requests', async () => {
  const accepts = fc.constantFrom(JSON_TYPE, SAFETENSORS_TYPE)
  await fc.assert(
    fc.asyncProperty(requests, accepts, async ({ path, body }, accept) => {
      const sent = { path, type: JSON_TYPE, body: Buffer.from(JSON.stringify(body)), accept }
      const answers = await Promise.all(servers.map(server => answerOf(server, sent)))
      expectSame(answers)
      const status = answers[0].slice(0, 3)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }),
    { numRuns: 180 * SCALE, seed: SEED },
  )
  // the others are refused for options that do not go together
  expect(statuses.get('200')).toBeGreaterThan(70 * SCALE)
})

const EMIT = [
  'output',
  'weights',
  'scores',
  'entropy',
  'logsumexp',
  'grad_output',
  'grad_weights',
  'grad_params',
]

it('of streamed runs', async () => {
  const clients = await Promise.all(servers.map(server => StreamClient.open(server)))
  const emits = fc.subarray(EMIT, { minLength: 1 })
  const encodings = fc.constantFrom('nested', 'base64', 'safetensors')
  let done = 0
  let next = 0
  await fc.assert(
    fc.asyncProperty(stacks, emits, encodings, async (drawn, emit, encoding) => {
      const { return: _return, ...body } = drawn
      const id = String(next++)
      const pass = body.backward === undefined ? 'forward' : 'forward_backward'
      const start = JSON.stringify({ ...body, type: 'start', id, emit, encoding, pass, credit: 8 })
      const runs = await Promise.all(clients.map(client => runOf(client, id, start)))
      expectSame(runs)
      if (runs[0].at(-1)?.type === 'done') done++
    }),
    { numRuns: 80 * SCALE, seed: SEED },
  )
  await Promise.all(clients.map(client => client.close()))
  expect(done).toBeGreaterThan(8 * SCALE)
})

/** The messages of a run, without its times. */
async function runOf(client: StreamClient, id: string, start: string) {
  client.send(start)
  await client.ended(id)
  return client.messages
    .splice(0)
    .map(({ timing: _timing, plan: _plan, problem, ...message }) => ({ ...message, code: problem?.code }))
}

afterAll(async () => {
  if (SCALE > 1) console.log('residue', Object.fromEntries(statuses), 'seed', SEED)
  for (const [index, server] of servers.entries())
    expect(await settled(server, before[index])).toBe(before[index])
})
