/** Maps in the form that BertViz's views read. */
import { expect, it } from 'vitest'
import { post, startServer } from '../server.ts'
import { MODELS } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const accept = { accept: 'application/x-bertviz+json' }
const path = (name: string) => `/v1/models/${name}/forward`

it('has the maps of every layer and head beside the tokens', async () => {
  const text = 'The cat'
  const plain = await post(server, path('bert'), { text, return: ['weights'] })
  const response = await post(server, path('bert'), { text }, accept)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toContain('application/x-bertviz+json')
  const body = response.body
  const [{ attn, left_text, right_text, name }] = body.attention
  expect(name).toBeNull()
  expect(left_text).toEqual(plain.body.tokens.strings[0])
  expect(right_text).toEqual(left_text)
  expect(attn).toEqual(plain.body.layers.map(({ weights }: { weights: number[][][][] }) => weights[0]))
  expect(body.include_layers).toEqual([0, 1])
  expect(body.default_filter).toBe('0')
})

it('has encoder, decoder and cross-attention of T5', async () => {
  const response = await post(server, path('t5'), { text: 'The cat' }, accept)
  const { attention } = response.body
  expect(attention.map(({ name }: { name: string }) => name)).toEqual(['Encoder', 'Decoder', 'Cross'])
  expect(attention[2].left_text).toHaveLength(1)
  expect(attention[2].right_text).toEqual(attention[0].left_text)
})

it.each([
  ['gpt2', ['T', 'he', ' c', 'at']],
  ['t5', [' ', '<unk>', 'h', 'e', ' c', 'at', '</s>']],
])('has the tokens of %s as BertViz shows them', async (name, tokens) => {
  const { body } = await post(server, path(name), { text: 'The cat' }, accept)
  expect(body.attention[0].left_text).toEqual(tokens)
})
