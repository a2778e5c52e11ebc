/** A run that goes on on another server has the frames that were missing, to the bit. */
import { expect, it } from 'vitest'
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

it('says what is wrong with it', async () => {
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
  ]
  for (const [message, path] of wrong) {
    client.send(message)
    const count = client.of('error').length
    const { problem } = await client.until(
      ({ type }) => type === 'error' && client.of('error').length > count,
    )
    expect(client.of('error').at(-1).problem.errors[0].path, JSON.stringify(problem)).toBe(path)
  }
  await client.close()
})
