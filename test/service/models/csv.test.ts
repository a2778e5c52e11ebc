/** Maps as comma-separated values: a line a row and key that are no padding. */
import { expect, it } from 'vitest'
import { csvText } from '../../../src/endpoints/models/csv.ts'
import { post, startServer } from '../server.ts'
import { MODELS } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })

async function table(name: string, body: object): Promise<string[][]> {
  const response = await fetch(`${server.url}/v1/models/${name}/forward`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/csv' },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present')
  const lines = text.split('\r\n')
  expect(lines.pop()).toBe('')
  expect(lines.shift()).toBe('item,map,layer,head,query,query_token,key,key_token,value')
  return lines.map(line =>
    [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].slice(0, 9).map(([, cell]) => cell),
  )
}

const plain = async (name: string, body: object) => {
  const { status, body: answer } = await post(server, `/v1/models/${name}/forward`, body)
  expect(answer.detail ?? status).toBe(200)
  return answer
}

it.each(['float32', 'float64'])('has every weight of the chosen layers and heads, in %s', async precision => {
  const body = { text: ["The cat didn't cross", 'it, "was"'], layers: [1], heads: [3, 0], precision }
  const { layers, tokens } = await plain('gpt2', { ...body, return: ['weights'] })
  const lines = await table('gpt2', body)
  const lengths = tokens.attention_mask.map((row: number[]) => row.filter(Boolean).length)
  expect(lines).toHaveLength(2 * lengths.reduce((sum: number, length: number) => sum + length ** 2, 0))
  const unquoted = (cell: string) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell)
  for (const [item, map, layer, head, query, queryToken, key, keyToken, value] of lines) {
    expect([map, layer]).toEqual(['weights', '1'])
    expect(Number(value)).toBe(layers[0].weights[item][[3, 0].indexOf(Number(head))][query][key])
    expect(unquoted(queryToken)).toBe(tokens.strings[item][query])
    expect(unquoted(keyToken)).toBe(tokens.strings[item][key])
  }
})

it('quotes tokens that have a comma, a quotation mark or a line break', () => {
  const output = { name: 'layers.0.weights', buffer: 0, shape: [1, 1, 1, 3] }
  const keys = [',', '"', '\n'].map((token, at) => ({ at, token }))
  const map = {
    output,
    name: 'weights',
    layer: 0,
    heads: [0],
    queries: [[{ at: 0, token: 'a b' }]],
    keys: [keys],
  }
  const [text] = csvText([map], () => Float64Array.of(1, 0.5, 0), String)
  expect(text.split('\r\n').slice(1)).toEqual([
    '0,weights,0,0,0,a b,0,",",1',
    '0,weights,0,0,0,a b,1,"""",0.5',
    '0,weights,0,0,0,a b,2,"\n",0',
    '',
  ])
})

it('has the maps that are named, infinities too, and gradients', async () => {
  const backward = { of: { kind: 'logit', token: 7 } }
  const body = { token_ids: [[5, 6, 7]], return: ['masked_scores'], backward, emit: ['grad_weights'] }
  const { layers } = await plain('mistral', body)
  const lines = await table('mistral', body)
  expect(new Set(lines.map(cells => cells[1]))).toEqual(new Set(['masked_scores', 'grad_weights']))
  for (const [, map, layer, head, query, , key, , value] of lines)
    expect(value).toBe(String(layers[layer][map][0][head][query][key]))
  expect(lines.some(cells => cells[8] === '-Infinity')).toBe(true)
})

it('has encoder, decoder and cross-attention of T5', async () => {
  const body = { text: 'The cat' }
  const { layers, encoder, tokens } = await plain('t5', { ...body, return: ['weights', 'cross_weights'] })
  const lines = await table('t5', body)
  const count = tokens.ids[0].length
  expect(lines).toHaveLength(2 * 4 * (count * count + 1 + count))
  for (const [, map, layer, head, query, queryToken, key, , value] of lines) {
    const of = map === 'encoder.weights' ? encoder.layers : layers
    expect(Number(value)).toBe(of[layer][map.replace('encoder.', '')][0][head][query][key])
    expect(queryToken).toBe(map === 'encoder.weights' ? tokens.strings[0][query] : '<pad>')
  }
})

it('says what is wrong as ever', async () => {
  const { status, body } = await post(
    server,
    '/v1/models/bert/forward',
    { text: 'a', layers: [9] },
    { accept: 'text/csv' },
  )
  expect([status, body.errors[0].path]).toEqual([400, '/layers/0'])
})
