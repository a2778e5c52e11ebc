/** The bits of a NaN are the processor's own, or whatever a client has sent: in an answer they are the same for all. */
import { describe, expect, it } from 'vitest'
import { type FileTensor, float32, readFile, values, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from './server.ts'

const server = await startServer()

/** Little-endian, quiet, without a sign. */
const NAN = { float16: '007e', bfloat16: 'c07f', float32: '0000c07f', float64: '000000000000f87f' } as const
type Type = keyof typeof NAN
const DTYPES: Record<Type, string> = { float16: 'F16', bfloat16: 'BF16', float32: 'F32', float64: 'F64' }

/** NaN with a sign and a payload. */
const ODD = { float32: Buffer.from('010080ff', 'hex'), float64: Buffer.from('010000000000f0ff', 'hex') }

/** [rows, 2]: of each row the first element is such a NaN, the second one is `value`. */
function spoiled(type: 'float32' | 'float64', rows: number, value: number): FileTensor {
  const other = Buffer.from(new (type === 'float32' ? Float32Array : Float64Array)([value]).buffer)
  const row = Buffer.concat([ODD[type], other])
  return { dtype: DTYPES[type], shape: [rows, 2], data: Buffer.concat(Array(rows).fill(row)) }
}

function odd(bytes: Uint8Array, type: Type): string[] {
  const size = NAN[type].length / 2
  const elements =
    Buffer.from(bytes)
      .toString('hex')
      .match(new RegExp(`.{${2 * size}}`, 'g')) ?? []
  const holdsNaN = (hex: string) => {
    const bits = BigInt(`0x${(hex.match(/../g) ?? []).toReversed().join('')}`)
    const fraction = { float16: 10n, bfloat16: 7n, float32: 23n, float64: 52n }[type]
    const exponent = (1n << (BigInt(8 * size - 1) - fraction)) - 1n
    return ((bits >> fraction) & exponent) === exponent && (bits & ((1n << fraction) - 1n)) !== 0n
  }
  const found = elements.filter(holdsNaN)
  expect(found.length).toBeGreaterThan(0)
  return [...new Set(found)]
}

async function answer(body: object, tensors: Record<string, FileTensor>, accept: string) {
  const response = await fetch(`${server.url}/v1/attention`, {
    method: 'POST',
    headers: { 'content-type': SAFETENSORS_TYPE, accept },
    body: writeFile(tensors, { request: JSON.stringify({ non_finite: 'propagate', ...body }) }),
  })
  expect(response.status).toBe(200)
  return Buffer.from(await response.arrayBuffer())
}

/** Small answers are copied, large ones leave as the kernels wrote them. */
const SIZES: [string, number][] = [
  ['small', 3],
  ['large', 300],
]

describe.each(SIZES)('every NaN of a %s answer has the same bits', (_name, rows) => {
  describe.each(['float32', 'float64'] as const)('computed in %s', precision => {
    const tensors = {
      q: spoiled(precision, rows, 1),
      k: spoiled(precision, rows, 2),
      v: spoiled(precision, rows, 3),
      past_k: spoiled(precision, 1, 2),
      past_v: spoiled(precision, 1, 3),
    }
    const names = ['output', 'weights', 'scores', 'entropy', 'present_k', 'present_v']

    it.each(Object.keys(NAN) as Type[])('written as %s', async type => {
      const body = { precision, output_dtype: type, return: names }
      const file = readFile(await answer(body, tensors, SAFETENSORS_TYPE))
      for (const name of names) {
        expect(file.tensors[name].dtype).toBe(DTYPES[type])
        expect(odd(file.tensors[name].data, type), name).toEqual([NAN[type]])
      }
      if (rows > 3) return
      const text = await answer({ ...body, encoding: 'base64' }, tensors, 'application/json')
      const json = JSON.parse(text.toString())
      for (const name of names) {
        expect(odd(Buffer.from(json[name].base64, 'base64'), type), name).toEqual([NAN[type]])
      }
    })
  })
})

it('a NaN of an overflow, where all that came was finite', async () => {
  const large = Array.from({ length: 3 }, () => [3e38, -3e38])
  const body = { q: large, k: large, v: large, encoding: 'base64', return: ['output', 'scores', 'weights'] }
  const json = (await post(server, '/v1/attention', body)).body
  for (const name of ['output', 'weights'])
    expect(odd(Buffer.from(json[name].base64, 'base64'), 'float32')).toEqual([NAN.float32])
})

it('a NaN of an overflow in some rows of a large answer', async () => {
  const rows = 300
  const large = (row: number) => row === 7 || row === 299
  const q = Float32Array.from({ length: 2 * rows }, (_, index) => (large(index >> 1) ? 3e38 : 1))
  const k = Float32Array.from({ length: 2 * rows }, (_, index) => (index % 2 === 0 ? 3e38 : -3e38))
  const tensors = { q: float32(q, [rows, 2]), k: float32(k, [rows, 2]), v: float32(q.fill(1), [rows, 2]) }
  const names = ['weights', 'dropped_weights', 'output']
  for (const non_finite of ['reject', 'propagate']) {
    const file = readFile(
      await answer({ non_finite, dropout: { p: 0.1 }, return: names }, tensors, SAFETENSORS_TYPE),
    )
    for (const name of names) expect(odd(file.tensors[name].data, 'float32'), name).toEqual([NAN.float32])
    const weights = values(file.tensors.weights)
    expect(weights.findIndex(Number.isNaN)).toBe(7 * rows)
    expect(weights.filter(Number.isNaN)).toHaveLength(2 * rows)
  }
})
