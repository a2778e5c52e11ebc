/**
 * PyTorch's layers, and models of transformers, as an outside reference (test/fixtures/make-fixtures.py and
 * make-transformers-fixtures.py): their outputs, maps and gradients, met to 1e-10 in float64, and in float32 with at most twice the
 * error of PyTorch's own float32 evaluation, where that is known.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { SIMD_VARIANTS, type SimdVariant } from '../../workers/wasm/variants.ts'
import { squaredRounding } from '../support/error-budget.ts'
import { type FileTensor, readFile, readFileTensors, values, writeFile } from './safetensors-file.ts'
import { SAFETENSORS_TYPE, type Server, startServer } from './server.ts'

const FOLDER = new URL('../fixtures/', import.meta.url)
const FILES = readdirSync(FOLDER).filter(name => name.endsWith('.safetensors'))
const TOLERANCE = 1e-10

const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const servers = await Promise.all(
  VARIANTS.map(async KERNELS => [KERNELS, await startServer({ KERNELS })] as const),
)

interface Fixture {
  path: string
  request: object
  inputs: Record<string, FileTensor>
  expected: Record<string, FileTensor>
  /** tensors (those that PyTorch keeps as one together), and the root mean square error of its float32 evaluation of them */
  float32Errors: [string[], number][]
}

function readFixture(name: string): Fixture {
  const { tensors, metadata } = readFileTensors(readFileSync(new URL(name, FOLDER)))
  const inputs: Fixture['inputs'] = {}
  const expected: Fixture['expected'] = {}
  for (const [key, tensor] of Object.entries(tensors)) {
    if (key.startsWith('expected.')) expected[key.slice('expected.'.length)] = tensor
    else inputs[key] = tensor
  }
  const { path, request, float32_errors } = metadata
  return { path, request: JSON.parse(request), inputs, expected, float32Errors: JSON.parse(float32_errors) }
}

async function answerOf(
  server: Server,
  { path, request, inputs }: Fixture,
  precision: 'float32' | 'float64',
) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
    body: writeFile(inputs, { request: JSON.stringify({ ...request, precision }) }),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  expect(response.status, bytes.toString()).toBe(200)
  return readFile(bytes).tensors
}

describe.each(FILES)('%s', name => {
  const fixture = readFixture(name)

  it('is met to 1e-10 in float64', async () => {
    const tensors = await answerOf(servers[0][1], fixture, 'float64')
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(fixture.expected).sort())
    for (const [key, tensor] of Object.entries(fixture.expected)) {
      expect(tensors[key].shape, key).toEqual(tensor.shape)
      const right = values(tensor)
      const errors = values(tensors[key]).map((value, index) => Math.abs(value - right[index]))
      const worst = errors.reduce((most, error) => Math.max(most, error), 0)
      expect(worst, key).toBeLessThan(TOLERANCE)
    }
  })

  it.each(servers)('is met in float32 within twice the error of PyTorch: %s', async (_variant, server) => {
    const tensors = await answerOf(server, fixture, 'float32')
    for (const [keys, error] of fixture.float32Errors) {
      const right = keys.flatMap(key => values(fixture.expected[key]))
      const got = keys.flatMap(key => values(tensors[key]))
      const squares = got.reduce((sum, value, index) => sum + (value - right[index]) ** 2, 0)
      const rounding = Math.sqrt(squaredRounding(right) / right.length)
      const budget = Math.max(2 * error, rounding)
      expect(Math.sqrt(squares / right.length), keys.join(', ')).toBeLessThanOrEqual(budget)
    }
  })
})

it('covers every layer, every norm order and every mask', () => {
  expect(FILES.length).toBeGreaterThanOrEqual(24)
  const compared = FILES.map(readFixture).reduce((sum, { expected }) => sum + Object.keys(expected).length, 0)
  expect(compared).toBeGreaterThan(300)
})
