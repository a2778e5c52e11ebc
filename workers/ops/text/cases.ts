/** Only what a unit writes whole: `workers/text/numbers.test.ts` knows the rest. */
import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { canonicaliseNaNs, decodeTensor, encodeTensor } from './op.ts'

const count = fc.constantFrom(1, 3, 48, 49152, 100_000)
const seed = fc.nat()

const decoded = fc.record({ count, seed, form: fc.constantFrom('raw', 'json', 'base64') }).map(decodeCase)

function decodeCase({ count, seed, form }: { count: number; seed: number; form: string }): OpCase {
  const values = randomTensors(seed)(form === 'json' ? Math.min(count, 1000) : count)
  const bytes = Buffer.from(Float32Array.from(values).buffer)
  const body = {
    raw: bytes,
    json: Buffer.from(`[${values.join(',')}]`),
    base64: Buffer.from(bytes.toString('base64')),
  }[form] as Buffer
  return {
    op: decodeTensor,
    args: {
      form,
      start: 0,
      end: body.length,
      dtype: 'float32',
      count: values.length,
      marks: form === 'json' ? [0, 0] : [],
      escaped: false,
      rejectNonFinite: true,
      allowNegativeInfinity: false,
    },
    inputs: { body: Uint8Array.from(body) },
    outputs: { into: values.length },
  }
}

const encoded = fc.record({ count, seed }).map(({ count, seed }): OpCase => {
  const args = { form: 'raw', dtype: 'float16', shape: [count], count, firstUnit: 0 }
  const units = encodeTensor.units({ ...args, form: 'raw', dtype: 'float16' })
  return {
    op: encodeTensor,
    args,
    inputs: { values: randomTensors(seed)(count) },
    outputs: { into: 2 * count, lengths: units },
  }
})

/** It writes where it reads, and only over NaN: `workers/text/numbers.test.ts` has those. */
const unchanged = (count: number, seed: number): OpCase => ({
  op: canonicaliseNaNs,
  args: { count, row: 1 },
  inputs: { values: randomTensors(seed)(count), ...(seed % 2 === 1 && { guide: new Float64Array(count) }) },
  outputs: {},
})

const looked = fc.record({ count, seed }).map(c => unchanged(c.count, c.seed))

export const cases = fc.oneof(decoded, encoded, looked)

export const empty: OpCase[] = [
  decodeCase({ count: 0, seed: 1, form: 'raw' }),
  decodeCase({ count: 0, seed: 1, form: 'base64' }),
  unchanged(0, 1),
  {
    op: encodeTensor,
    args: { form: 'json', dtype: 'float32', shape: [2, 0], count: 0, firstUnit: 0 },
    inputs: { values: new Float64Array(0) },
    outputs: { into: 7, lengths: 1 },
  },
]
