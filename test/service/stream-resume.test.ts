/** A run that goes on on another server has the frames that were missing, to the bit. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const draw = drawer(5)
const x = draw(2, 7, 8)
const start = {
  type: 'start',
  id: 'a',
  stack: { layers: 3, heads: 2, d_ff: 12, init: { seed: 3 } },
  x,
  pass: 'forward_backward',
  backward: { target: draw(2, 7, 8) },
  emit: ['output', 'weights', 'grad_weights', 'grad_params'],
}

it('goes on behind the frames that have come, in both passes', async () => {
  const [leaving, other] = [await startServer(), await startServer()]
  const whole = await StreamClient.open(other)
  whole.send(start)
  const end = await whole.ended('a')
  const frames = whole.of('layer', 'a').map(({ timing: _, ...frame }) => frame)
  for (const count of [1, 3, 6, 4]) {
    const [before, behind] = [await StreamClient.open(leaving), await StreamClient.open(other)]
    before.acknowledge = false
    before.send({ ...start, credit: count })
    await before.until(({ type }) => type === 'layer' && before.of('layer').length === count)
    const { pass, index } = frames[Math.min(count, 5)]
    behind.send({ ...start, resume: { id: 'a', pass, from_layer: index } })
    const resumed = await behind.ended('a')
    expect(behind.of('layer', 'a').map(({ timing: _, ...frame }) => frame)).toEqual(
      frames.slice(Math.min(count, 5)),
    )
    expect({ ...resumed, timing: 0 }).toEqual({ ...end, timing: 0 })
    expect(before.of('layer').map(({ timing: _, ...frame }) => frame)).toEqual(frames.slice(0, count))
    await behind.close()
    if (count !== 4) {
      await before.close()
      continue
    }
    const drained = leaving.app.drain()
    const { resume } = await before.until(({ type }) => type === 'going_away')
    expect(resume).toEqual([{ id: 'a', pass, from_layer: index }])
    await before.close()
    await drained
  }
  await whole.close()
})

/** More than both ends hold for a client that does not read: a map of its layer, or what stands in `done`. */
const zeros = (...shape: number[]) => ({
  shape,
  dtype: 'float32',
  base64: Buffer.alloc(4 * shape.reduce((product, extent) => product * extent)).toString('base64'),
})
const large = { ...start, pass: undefined, backward: undefined, emit: ['weights'], encoding: 'base64' }
const stack = { layers: 1, heads: 1, d_ff: 4, init: { seed: 3 } }
const wide = { ...large, stack, x: zeros(2048, 2) }
const deep = { ...large, stack, x: zeros(4096, 64, 16), layers: [] }

const PATIENT = { timeout: 60_000 }

/** What a client reads that has not read anything before the server went away, the run being computed. */
async function readLate(message: object) {
  const server = await startServer()
  const client = await StreamClient.open(server)
  const runs = vi.spyOn(server.app.engine, 'run')
  client.socket.pause()
  client.send(message)
  await vi.waitUntil(() => runs.mock.results.length > 0, PATIENT)
  await runs.mock.results[0].value
  await nextTurn()
  const drained = server.app.drain()
  client.socket.resume()
  await drained
  await client.until(() => false)
  const types = client.messages.map(({ type }) => type).filter(type => type !== 'progress')
  return { types, resume: client.of('going_away')[0].resume, end: client.of('done')[0] }
}

it('is told behind the frames that are on their way: where all have come, only the end is sent', async () => {
  const { types, resume, end } = await readLate(wide)
  expect(types).toEqual(['accepted', 'layer', 'going_away', 'done'])
  expect(resume).toEqual([{ id: 'a', pass: 'done' }])
  const behind = await StreamClient.open(await startServer())
  behind.send({ ...wide, resume: resume[0] })
  expect({ ...(await behind.ended('a')), timing: 0 }).toEqual({ ...end, timing: 0 })
  expect(behind.of('layer')).toEqual([])
  await behind.close()
})

it('is not told of a run whose end is on its way', async () => {
  const { types, resume } = await readLate(deep)
  expect(types).toEqual(['accepted', 'done', 'going_away'])
  expect(resume).toBeUndefined()
})

it('says what is wrong with it', async () => {
  const encoder = { stack: { layers: 2, heads: 2, d_ff: 12, init: { seed: 4 } }, x: draw(2, 5, 8) }
  const client = await StreamClient.open(await startServer())
  const wrong: [object, string][] = [
    [{ ...start, resume: { from_layer: -1 } }, '/resume/from_layer'],
    [{ ...start, resume: { pass: 'sideways', from_layer: 0 } }, '/resume/pass'],
    [
      {
        ...start,
        pass: 'forward',
        backward: undefined,
        emit: ['output'],
        resume: { pass: 'backward', from_layer: 0 },
      },
      '/resume/pass',
    ],
    [{ ...start, resume: {} }, '/resume/from_layer'],
    [{ ...start, resume: { from_layer: 3 } }, '/resume/from_layer'],
    [{ ...start, resume: { from_layer: 255 } }, '/resume/from_layer'],
    [{ ...start, resume: { pass: 'backward', from_layer: 3 } }, '/resume/from_layer'],
    [{ ...start, resume: { stack: 'encoder', from_layer: 0 } }, '/resume/stack'],
    [{ ...start, encoder, resume: { stack: 'encoder', from_layer: 2 } }, '/resume/from_layer'],
    [
      {
        ...start,
        encoder,
        backward: { ...start.backward, wrt: ['x'] },
        emit: ['output'],
        resume: { pass: 'backward', stack: 'encoder', from_layer: 0 },
      },
      '/resume/stack',
    ],
    [{ ...start, resume: { from_layer: 0, from_token: 0 } }, '/resume/from_token'],
    [{ ...start, resume: { from_layer: 0, item: 0 } }, '/resume/item'],
    [{ ...start, resume: { pass: 'done', from_layer: 2 } }, '/resume/from_layer'],
  ]
  for (const [message, path] of wrong) {
    client.send(message)
    const count = client.of('error').length
    const { problem } = await client.until(
      ({ type }) => type === 'error' && client.of('error').length > count,
    )
    const [error] = client.of('error').at(-1).problem.errors
    expect(error.path, JSON.stringify(problem)).toBe(path)
    expect(error.message).toMatch(/^expected .*, got /)
  }
  await client.close()
})
