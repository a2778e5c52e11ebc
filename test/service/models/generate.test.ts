/** Generation: greedy as transformers generates, drawn tokens that a seed repeats, and the same alone and in a batch. */
import { describe, expect, it } from 'vitest'
import { post, startServer } from '../server.ts'
import { MODELS, NAMES, readFixture } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const ask = (name: string, body: object) =>
  post(server, `/v1/models/${name}/forward`, { return: [], ...body })
const decoders = NAMES.filter(name => readFixture(name).generated !== null)

describe.each(decoders)('%s', name => {
  const { generated } = readFixture(name)
  const { prompt, ids } = generated as NonNullable<typeof generated>

  it.each(['float64', 'float32'])('follows a text as transformers does in %s', async precision => {
    const { status, body } = await ask(name, {
      token_ids: [prompt],
      precision,
      generate: { max_new_tokens: 6 },
    })
    expect(body.detail ?? status).toBe(200)
    expect(body.generated.ids).toEqual([ids])
    expect(body.generated.strings[0]).toHaveLength(ids.length)
  })
})

describe('generated tokens', () => {
  const prompts = [
    [5, 6, 7, 8],
    [9, 10, 0, 0],
  ]
  const attention_mask = [
    [1, 1, 1, 1],
    [1, 1, 0, 0],
  ]

  it('of an item are the same alone and in a batch', async () => {
    const generate = { max_new_tokens: 5 }
    const both = await ask('llama', { token_ids: prompts, attention_mask, generate })
    const alone = await ask('llama', { token_ids: [[9, 10]], generate })
    expect(both.body.generated.ids[1]).toEqual(alone.body.generated.ids[0])
  })

  it('are drawn, the same from the same seed', async () => {
    const of = async (seed: number, more: object = {}) => {
      const generate = { max_new_tokens: 8, temperature: 1.5, seed, ...more }
      return (await ask('mistral', { token_ids: [[5, 6]], generate })).body.generated.ids[0]
    }
    expect(await of(1)).toEqual(await of(1))
    const some = await Promise.all([1, 2, 3, 4].map(seed => of(seed)))
    expect(new Set(some.map(ids => ids.join())).size).toBeGreaterThan(1)
    const greedy = (await ask('mistral', { token_ids: [[5, 6]], generate: { max_new_tokens: 8 } })).body
      .generated.ids[0]
    expect(await of(9, { top_k: 1 })).toEqual(greedy)
  })

  it.each([
    ['bert', { generate: {} }, '/generate'],
    ['gpt2', { generate: { max_new_tokens: 30 } }, '/generate/max_new_tokens'],
    ['gpt2', { generate: { temperature: -1 } }, '/generate/temperature'],
  ])('of %s with %j are a 400 at %s', async (name, request, path) => {
    const { status, body } = await ask(name, { token_ids: [[5, 6, 7]], ...request })
    expect(status).toBe(400)
    expect(body.errors[0].path).toBe(path)
  })
})
