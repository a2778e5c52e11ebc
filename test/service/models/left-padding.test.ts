/** Texts padded on the left, as transformers pads those of decoders, and generation that ends with its end token: test/fixtures/make-generated.py. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { type FileTensor, readFileTensors, values } from '../safetensors-file.ts'
import { post, startServer } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { below, type Fixture, forward, MODELS, worst } from './fixture.ts'

const GENERATED = fileURLToPath(new URL('../../fixtures/generated', import.meta.url))
const names = readdirSync(GENERATED).map(file => file.replace('.safetensors', ''))
const folder = mkdtempSync(join(tmpdir(), 'models-generated-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Expected {
  lengths: number[]
  padding: number
  end: number
  whole: number[][]
  ended: number[][]
  /** of T5, padded on the left */
  left?: number[][]
}

function read(name: string) {
  const { tensors, metadata } = readFileTensors(readFileSync(join(GENERATED, `${name}.safetensors`)))
  return { tensors, ...(JSON.parse(metadata.expected) as Expected) }
}

for (const name of names) {
  const { end } = read(name)
  const path = join(folder, name)
  cpSync(join(MODELS, name), path, { recursive: true })
  // its own end token is another: this file goes first
  writeFileSync(join(path, 'generation_config.json'), JSON.stringify({ eos_token_id: [95, end] }))
}
const server = await startServer({ MODELS_DIR: folder })

/** Over rows that are no padding, which stands on the left. */
function worstReal(got: FileTensor, right: FileTensor, lengths: number[]): number {
  expect(got.shape).toEqual(right.shape)
  const positions = right.shape[right.shape.length - 2]
  const width = right.shape[right.shape.length - 1]
  const rows = right.shape.slice(1, -1).reduce((product, extent) => product * extent, 1)
  const [ours, theirs] = [values(got), values(right)]
  let most = 0
  for (const [at, value] of ours.entries()) {
    const row = Math.floor(at / width)
    if (row % positions < positions - lengths[Math.floor(row / rows)]) continue
    most = Math.max(most, Math.abs(value - theirs[at]))
  }
  return most
}

describe.each(names)('%s', name => {
  const { tensors, lengths, padding, whole, ended, left } = read(name)
  const batch = { token_ids: nested(tensors.token_ids), attention_mask: nested(tensors.attention_mask) }
  const max_new_tokens = whole[0].length

  it('generates as transformers does, and no further than to an end token', async () => {
    const body = { ...batch, return: [], precision: 'float64', generate: { max_new_tokens } }
    const { body: answer } = await post(server, `/v1/models/${name}/forward`, body)
    const { ids } = answer.generated
    // behind its end token transformers fills up with padding
    const filled = ids.map((own: number[]) => [
      ...own,
      ...new Array(ended[0].length - own.length).fill(padding),
    ])
    expect(filled).toEqual(ended)
    expect(ids[0].length).toBeLessThan(max_new_tokens)
  })

  it('sends no token behind an end over the stream either', async () => {
    const client = await StreamClient.open(server)
    const start = { type: 'start', id: 'a', model: name, ...batch, layers: [], return: [] }
    client.send({ ...start, precision: 'float64', generate: { max_new_tokens } })
    const last = await client.ended('a')
    await client.close()
    const got = last.generated.ids.map(() => [] as number[])
    for (const { item, token } of client.of('token')) got[item].push(token.id)
    expect(got).toEqual(last.generated.ids)
    // what is behind is not computed: nothing is told of it
    const progress = client.of('progress')
    const layers = progress[0].total - 2 * max_new_tokens
    expect(layers).toBe(name.startsWith('t5') ? 4 : 2)
    expect(progress).toHaveLength(layers + got.flat().length)
  })

  if (tensors.target !== undefined) {
    it('has the vector of its encoder, and its gradients', async () => {
      const fixture = { name, tensors } as Fixture
      const own = Object.keys(tensors).flatMap(key => (key.startsWith('grads.params.') ? [key.slice(6)] : []))
      const backward = { of: { kind: 'embedding' }, wrt: ['embeddings', ...own] }
      const asked = { precision: 'float64', return: ['embedding'], backward }
      const { tensors: got } = await forward(server, fixture, asked, { 'backward.of.target': tensors.target })
      const keys = Object.keys(tensors).filter(key => /^grads\.|^embedding$/.test(key))
      expect(keys).toHaveLength(4)
      for (const key of keys) expect(worst(got[key], tensors[key]), key).toBeLessThan(1e-9)
    })

    describe('padded on the left', () => {
      const expected = Object.fromEntries(below(tensors, 'left.'))
      const fixture = { name, tensors: expected } as Fixture
      const ids = nested(expected.token_ids)
      const padded = { token_ids: ids, attention_mask: nested(expected.attention_mask) }

      it('has the states, maps, logits and gradients of transformers', async () => {
        const own = below(expected, 'grads.').map(([key]) => key)
        const of = { kind: 'logit', token: 17 }
        const asked = {
          return: ['hidden', 'weights', 'cross_weights', 'logits'],
          precision: 'float64',
          backward: { of, wrt: own },
        }
        const { tensors: got } = await forward(server, fixture, asked)
        const ofEncoder = /^encoder\./
        for (const [key, right] of Object.entries(expected)) {
          if (/_ids$|_mask$/.test(key)) continue
          const error = ofEncoder.test(key) ? worstReal(got[key], right, lengths) : worst(got[key], right)
          expect(error, key).toBeLessThan(1e-9)
        }
      })

      it('generates as transformers does, and each text has the bits that it has alone', async () => {
        const ask = async (body: object) => {
          const { body: answer } = await post(server, `/v1/models/${name}/forward`, body)
          expect(answer.detail).toBeUndefined()
          return answer
        }
        const whole = await ask({ ...padded, return: [], precision: 'float64', generate: { max_new_tokens } })
        const { ids: got } = whole.generated
        expect(got).toEqual(left?.map((own, b) => own.slice(0, got[b].length)))
        const single = {
          return: ['logits', 'relevance', 'embedding'],
          pooling: 'cls',
          relevance: { method: 'integrated_gradients', of: { kind: 'logit', token: 17 }, steps: 4 },
        }
        const both = await ask({ ...padded, ...single })
        for (const [b, length] of lengths.entries()) {
          const alone = await ask({ token_ids: [ids[b].slice(-length)], ...single })
          expect(both.logits[b]).toEqual(alone.logits[0])
          expect(both.embedding[b]).toEqual(alone.embedding[0])
          expect(both.relevance[b].slice(-length)).toEqual(alone.relevance[0])
        }
      })
    })
    return
  }

  it('has the rows of transformers, and those of each text alone to the bit', async () => {
    const fixture = { name: name, tensors } as Fixture
    const asked = { return: ['hidden', 'logits', 'weights'], precision: 'float64' }
    const { tensors: got } = await forward(server, fixture, asked)
    for (const [key, right] of Object.entries(tensors)) {
      if (/_ids$|_mask$/.test(key)) continue
      expect(worstReal(got[key], right, lengths), key).toBeLessThan(1e-9)
    }
    const single = { precision: 'float32', return: ['logits', 'embedding'], pooling: 'cls' }
    const { body: both } = await post(server, `/v1/models/${name}/forward`, { ...batch, ...single })
    for (const [b, length] of lengths.entries()) {
      const token_ids = [batch.token_ids[b].slice(-length)]
      const { body: alone } = await post(server, `/v1/models/${name}/forward`, { token_ids, ...single })
      expect(both.logits[b].slice(-length)).toEqual(alone.logits[0])
      expect(both.embedding[b]).toEqual(alone.embedding[0])
    }
  })
})

function nested(tensor: FileTensor): number[][] {
  const [rows, columns] = tensor.shape
  const flat = Array.from(new BigInt64Array(Uint8Array.from(tensor.data).buffer), Number)
  return Array.from({ length: rows }, (_, row) => flat.slice(row * columns, (row + 1) * columns))
}
