/** What `seconds` of a plan reckons with, and that nobody's requests spoil it for others. */
import { expect, it } from 'vitest'
import { SOLO_SECONDS } from '../../src/engine/segment.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()

const zeros = (shape: number[]) => {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, dtype: 'float32', base64: Buffer.alloc(4 * count).toString('base64') }
}

async function planned(endpoint: string, body: object): Promise<{ seconds: number; flops: number }> {
  const plan = await post(server, '/v1/plan', { endpoint, body })
  expect(plan.status).toBe(200)
  return plan.body
}

function plannedAttention(shape: number[], more: object = {}) {
  return planned('/v1/attention', { q: { shape }, k: { shape }, v: { shape }, ...more })
}

it('leaves a small request to one worker, and shares a larger one', async () => {
  const seconds = async (n: number) => {
    const shape = [1, 1, n, 64]
    // of one worker, of the two that there are
    return (
      2 * (await plannedAttention(shape, { backward: { target: { shape } }, encoding: 'base64' })).seconds
    )
  }
  expect(await seconds(256)).toBeLessThan(SOLO_SECONDS)
  expect(await seconds(1024)).toBeGreaterThan(SOLO_SECONDS)
})

it('an honest plan stays within bounds of what it was at the start, whatever others have run', async () => {
  const honest = () =>
    Promise.all(
      ['float32', 'float64'].map(async precision => {
        const { seconds } = await plannedAttention([1, 8, 1024, 64], { precision })
        return seconds
      }),
    )
  const before = await honest()
  const x = zeros([1, 1, 800, 1])
  const odd = { softcap: 1, dropout: { p: 0.5 }, return: ['entropy'], encoding: 'base64' }
  for (let request = 0; request < 60; request++) {
    const precision = request % 2 === 0 ? 'float32' : 'float64'
    const { status } = await attention(server, { q: x, k: x, v: x, ...odd, precision })
    expect(status).toBe(200)
  }
  const after = await honest()
  for (const [index, seconds] of after.entries()) {
    expect(seconds / before[index]).toBeLessThanOrEqual(4.01)
    expect(seconds / before[index]).toBeGreaterThanOrEqual(0.249)
  }
})

it('counts the pairs of rows that all hash alike, and of every round those of the rounds before it', async () => {
  const shape = [1, 1, 2000, 1]
  const lsh = (kind: object) =>
    plannedAttention(shape, { attention_kind: { kind: 'lsh', buckets: 65536, chunk: 2000, ...kind } })
  const exact = await plannedAttention(shape)
  const [one, many] = [await lsh({ rounds: 1 }), await lsh({ rounds: 16 })]
  expect(one.flops).toBeLessThan(exact.flops)
  expect(one.seconds).toBeGreaterThan(exact.seconds / 2)
  expect(many.seconds).toBeGreaterThan(30 * one.seconds)
  const bounded = await lsh({ rounds: 16, chunk: 4 })
  expect(bounded.seconds).toBeLessThan(many.seconds / 4)
})

it('counts the writing of a large answer, by how it is written', async () => {
  const seconds = async (encoding: string, output_dtype = 'float32') =>
    (
      await planned('/v1/positional-encoding', {
        kind: 'alibi',
        heads: 1,
        length: 2000,
        encoding,
        output_dtype,
      })
    ).seconds
  const [base64, flat, digits] = [
    await seconds('base64'),
    await seconds('flat'),
    await seconds('flat', 'float64'),
  ]
  expect(flat).toBeGreaterThan(2 * base64)
  expect(digits).toBeGreaterThan(2 * flat)
})

it('counts what is done to a pair, not its products alone', async () => {
  const shape = [1, 1, 1000, 1]
  const plain = await plannedAttention(shape)
  for (const more of [{ softcap: 1 }, { dropout: { p: 0.1 } }, { alibi: true }, { return: ['weights'] }]) {
    expect((await plannedAttention(shape, more)).seconds, JSON.stringify(more)).toBeGreaterThan(
      1.1 * plain.seconds,
    )
  }
  const wide = await plannedAttention([1, 1, 1000, 64])
  expect(plain.seconds).toBeGreaterThan(wide.seconds / 10)
})
