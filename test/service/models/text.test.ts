/** Text in: tokens, strings and offsets of transformers' fast tokenizers, for every family. */
import { describe, expect, it } from 'vitest'
import { post, startServer } from '../server.ts'
import { MODELS, NAMES, readFixture } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const ask = (name: string, body: object) =>
  post(server, `/v1/models/${name}/forward`, { return: [], ...body })

describe.each(NAMES)('%s', name => {
  const { texts } = readFixture(name)

  it.each(texts.map(each => [each.text.slice(0, 30), each] as const))(
    'has the tokens of %s',
    async (_, { tokens, ...given }) => {
      const { status, body } = await ask(name, given)
      expect(body.detail ?? status).toBe(200)
      expect(body.tokens.ids).toEqual([tokens.ids])
      expect(body.tokens.strings).toEqual([tokens.strings])
      expect(body.tokens.offsets).toEqual([tokens.offsets])
      expect(body.tokens.attention_mask).toEqual([tokens.ids.map(() => 1)])
    },
  )
})

describe('text', () => {
  const [one, other] = readFixture('bert').texts

  it('comes as a list, padded on the right, and an item has the bits that it has alone', async () => {
    const request = { return: ['output', 'weights'], precision: 'float32' }
    const both = await ask('bert', { text: [one.text, other.text], ...request })
    const alone = await ask('bert', { text: one.text, ...request })
    const length = one.tokens.ids.length
    expect(both.body.tokens.attention_mask[0].indexOf(0)).toBe(length)
    expect(both.body.output[0].slice(0, length)).toEqual(alone.body.output[0])
    const heads = both.body.layers[1].weights[0]
    expect(heads.map((rows: number[][]) => rows.slice(0, length).map(row => row.slice(0, length)))).toEqual(
      alone.body.layers[1].weights[0],
    )
  })

  it('has the same answer as its token ids', async () => {
    const { body } = await ask('gpt2', {
      text: 'The cat',
      return: ['logits', 'next_tokens'],
      next_tokens: { top: 3 },
    })
    const again = await ask('gpt2', {
      token_ids: body.tokens.ids,
      return: ['logits', 'next_tokens'],
      next_tokens: { top: 3 },
    })
    expect(again.body.logits).toEqual(body.logits)
    expect(again.body.next_tokens).toEqual(body.next_tokens)
    expect(again.body.tokens.strings).toEqual(body.tokens.strings)
    const { ids, strings, probabilities } = body.next_tokens
    const row = body.logits[0].at(-1)
    const order = row.map((_: number, id: number) => id).sort((a: number, b: number) => row[b] - row[a])
    expect(ids[0]).toEqual(order.slice(0, 3))
    expect(strings[0]).toHaveLength(3)
    const sum = row.reduce((total: number, logit: number) => total + Math.exp(logit), 0)
    expect(probabilities[0][0]).toBeCloseTo(Math.exp(row[ids[0][0]]) / sum, 5)
  })

  it('of more tokens than the model takes is a 400 with both lengths, unless it is cut', async () => {
    const text = 'the cat sat on the mat '.repeat(200)
    const { status, body } = await ask('bert', { text })
    expect(status).toBe(400)
    expect(body.errors[0].path).toBe('/text')
    expect(body.detail).toMatch(/max_length = 32 tokens, got \d+/)
    const cut = await ask('bert', { text, truncate: true })
    expect(cut.body.tokens.ids[0]).toHaveLength(32)
  })

  it('names a token of the vocabulary where something is differentiated', async () => {
    const of = { kind: 'logit', token: one.tokens.strings[1] }
    const { body } = await ask('bert', { text: one.text, backward: { of } })
    const byId = await ask('bert', { text: one.text, backward: { of: { ...of, token: one.tokens.ids[1] } } })
    expect(body.grads).toEqual(byId.body.grads)
    const unknown = await ask('bert', {
      text: one.text,
      backward: { of: { ...of, token: 'nothing like it' } },
    })
    expect(unknown.status).toBe(400)
    expect(unknown.body.errors[0].path).toBe('/backward/of/token')
  })

  it.each([
    [{ text: 'a', token_ids: [[1]] }, '/text'],
    [{}, ''],
    [{ text: [] }, '/text'],
    [{ text: ['a', 1] }, '/text/1'],
    [{ text: ['a', 'b'], text_pair: ['a'] }, '/text_pair'],
    [{ token_ids: [[1, 96]] }, '/token_ids/0/1'],
    [{ token_ids: [[1, 1.5]] }, '/token_ids/0/1'],
    [{ token_ids: [[1, 2]], attention_mask: [[1, 2]] }, '/attention_mask/0/1'],
    [{ token_ids: [[1, 2]], layers: [2] }, '/layers/0'],
    [{ token_ids: [[1, 2]], heads: [0, 4] }, '/heads/1'],
    [{ token_ids: [[1, 2]], return: ['present'] }, '/return/0'],
    [{ token_ids: [new Array(33).fill(1)] }, '/token_ids'],
  ])('%j is a 400 at %s', async (request, path) => {
    const { status, body } = await ask('bert', request)
    expect(status).toBe(400)
    expect(body.errors?.[0]?.path ?? '').toBe(path)
  })
})

describe('a plan of a model', () => {
  const plan = (name: string, body: object) =>
    post(server, '/v1/plan', { endpoint: `/v1/models/${name}/forward`, body })

  it('says what a request would take, from shapes alone', async () => {
    const { status, body } = await plan('gpt2', {
      token_ids: { shape: [2, 7] },
      return: ['logits', 'weights'],
    })
    expect(body.problem ?? status).toBe(200)
    expect(body.shapes).toMatchObject({ logits: [2, 7, 96], 'layers.1.weights': [2, 4, 7, 7] })
    expect(body.flops).toBeGreaterThan(1000)
    expect(body.admitted).toBe(true)
    const mapsAlone = await plan('gpt2', { token_ids: { shape: [2, 7] }, return: ['weights'] })
    // the last layer's feed-forward network and its way out are left out too
    const last = await plan('gpt2', { token_ids: { shape: [2, 7] }, return: ['weights', 'output'] })
    expect(mapsAlone.body.flops).toBeLessThan(last.body.flops - 2 * 14 * 16 * 64)
    expect((await plan('nothing', { token_ids: { shape: [2, 7] } })).status).toBe(404)
    const wrong = await plan('gpt2', { token_ids: { shape: [2, 700] } })
    expect(wrong.body.errors[0].path).toBe('/body/token_ids')
  })

  it('counts all the tokens that a generation may have: an upper bound', async () => {
    const flops = async (more: object) => {
      const { body } = await plan('gpt2', { token_ids: { shape: [1, 7] }, return: [], ...more })
      expect(body.problem).toBeUndefined()
      return body.flops
    }
    const [two, four] = [
      await flops({ generate: { max_new_tokens: 2 } }),
      await flops({ generate: { max_new_tokens: 4 } }),
    ]
    // the second token and those behind it take a row each
    expect(four - two).toBeGreaterThan(1000)
    expect(await flops({ generate: { max_new_tokens: 20 } })).toBeGreaterThan(four + 7 * (four - two))
  })
})

it('gives the same maps whether more is asked for or not', async () => {
  const of = async (...names: string[]) => {
    const { body } = await ask('gpt2', { text: 'The cat', return: names })
    return body.layers.map((layer: { weights: unknown }) => layer.weights)
  }
  expect(await of('weights')).toEqual(await of('weights', 'output', 'logits', 'hidden'))
})

it('tells of an encoder and a decoder the layers that each has, in the order asked', async () => {
  const of = async (layers?: number[]) =>
    ask('t5-uneven', { token_ids: [[5, 6]], return: ['weights'], layers })
  const indices = ({ body }: Awaited<ReturnType<typeof of>>) => [
    body.encoder.layers.map(({ index }: { index: number }) => index),
    body.layers.map(({ index }: { index: number }) => index),
  ]
  expect(indices(await of())).toEqual([[0, 1, 2], [0]])
  expect(indices(await of([2, 0]))).toEqual([[2, 0], [0]])
  expect((await of([3])).body.errors[0].path).toBe('/layers/0')
})
