/** Nobody gets what is another's: under load, and while clients leave in the middle, answers are those of a quiet server. */
import { request as httpRequest } from 'node:http'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { requests } from '../fuzz/requests.ts'
import { float32, writeFile } from '../service/safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from '../service/server.ts'
import { uniformNumbers } from '../support/numbers.ts'
import { answerOf, type Sent } from './answer.ts'
import { SCALE, SEED } from './scale.ts'

const CONNECTIONS = 16
const LEAVERS = 8
const ANSWERS = 600 * SCALE
const KINDS = 100

const server = await startServer({ MAX_FLOPS: '1e9' })
const { arena } = server.app.engine

/** Large enough for several workers at once. */
function large(rows: number): Sent {
  const shape = [1, 4, rows, 32]
  const values = Float32Array.from({ length: 4 * rows * 32 }, (_, i) => Math.sin(i * rows))
  const tensor = float32(values, shape)
  const file = writeFile(
    { q: tensor, k: tensor, v: tensor, 'backward.grad_output': tensor },
    { request: JSON.stringify({ causal: true }) },
  )
  return { path: '/v1/attention', type: SAFETENSORS_TYPE, body: file }
}

const small = fc
  .sample(requests, { numRuns: KINDS, seed: SEED })
  .map(({ path, body }): Sent => ({ path, type: JSON_TYPE, body: Buffer.from(JSON.stringify(body)) }))
const all = [...small, large(97), large(256), large(600)]

/** Sends a part of the body or all of it, and leaves at once or a little later. */
function leave({ path, type, body }: Sent, draw: () => number): Promise<void> {
  return new Promise(resolve => {
    const headers = { 'content-type': type, 'content-length': body.length }
    const outgoing = httpRequest(server.url + path, { method: 'POST', headers, agent: false })
    outgoing.on('response', answer => answer.resume())
    outgoing.on('error', () => {})
    outgoing.on('close', resolve)
    outgoing.write(body.subarray(0, Math.ceil(body.length * Math.min(1, 2 * draw()))))
    setTimeout(() => outgoing.destroy(), 8 * draw())
  })
}

it('answers under load are those of one client alone', async () => {
  const before = arena.usedBytes
  const expected: string[] = []
  for (const each of all) expected.push(await answerOf(server, each))
  expect(expected.filter(answer => answer.startsWith('200')).length).toBeGreaterThan(30)

  let answered = 0
  let left = 0
  const wrong: string[] = []
  const client = async (_: unknown, index: number) => {
    const draw = uniformNumbers(SEED + index)
    while (answered < ANSWERS && wrong.length === 0) {
      answered++
      const which = Math.floor(draw() * all.length)
      const answer = await answerOf(server, all[which])
      // a server that is busy may say so, and nothing else
      if (answer !== expected[which] && !answer.includes('"code":"BUSY"'))
        wrong.push(`${all[which].path} ${answer.slice(0, 300)}`)
    }
  }
  const leaver = async (_: unknown, index: number) => {
    const draw = uniformNumbers(SEED + 1000 + index)
    while (answered < ANSWERS) {
      left++
      await leave(all[Math.floor(draw() * all.length)], draw)
    }
  }
  await Promise.all([
    ...Array.from({ length: CONNECTIONS }, client),
    ...Array.from({ length: LEAVERS }, leaver),
  ])
  expect(wrong).toEqual([])
  expect(left).toBeGreaterThan(ANSWERS / 20)
  expect(await settled(server, before)).toBe(before)
  const faults = server.log.filter(line => JSON.parse(line).level >= 50)
  expect(faults).toEqual([])
  if (SCALE > 1) console.log('cross-talk', { answered, left, seed: SEED })
})
