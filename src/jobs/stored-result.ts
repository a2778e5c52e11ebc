/** The stored answer of a job, a safetensors file, as a program that writes it in another form: the text has the bits of the file. */
import * as z from 'zod'
import type { ElementType } from '../../workers/contract.ts'
import type { Compilable } from '../endpoints/endpoint.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { Decoded, type Intake } from '../pipeline/decode.ts'
import type { Order, Stored } from './job.ts'
import { readWhole, type Store } from './store.ts'

export interface StoredAnswer {
  bytes: Uint8Array
  tensors: { name: string; dtype: string; shape: number[]; start: number; end: number }[]
  fields: Record<string, unknown>
  style: Order['style']
}

/** Reads it into shared memory; the memory goes with what is returned. */
export async function readAnswer(
  store: Store,
  stored: Stored,
  style: Order['style'],
  { engine }: Intake,
): Promise<Decoded> {
  const region = await engine.room(stored.bytes)
  const body = new Decoded('safetensors', engine)
  try {
    const bytes = body.keep(region, stored.bytes)
    let at = 0
    for await (const chunk of readWhole(store, stored)) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    body.tree = { bytes, style, ...contentOf(bytes) } satisfies StoredAnswer
    return body
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  }
}

/** Of a file that this service has written itself. */
function contentOf(bytes: Uint8Array): Pick<StoredAnswer, 'tensors' | 'fields'> {
  const data = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true))
  const { __metadata__: metadata, ...entries } = JSON.parse(Buffer.from(bytes.subarray(8, data)).toString())
  const tensors = Object.entries(entries).map(([name, entry]) => {
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: number[] }
    return { name, dtype, shape, start: data + data_offsets[0], end: data + data_offsets[1] }
  })
  return { tensors, fields: JSON.parse(metadata.response) }
}

const DTYPES: Record<string, ElementType> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
}

export const storedAnswer: Compilable<StoredAnswer> = {
  request: z.custom<StoredAnswer>(),
  // float32 holds every number of a smaller type
  program: ({ style }) => new RequestProgram(style.dtype === 'float64' ? 'float64' : 'float32', 'propagate'),
  compile(p, { bytes, tensors, fields, style }) {
    for (const { name, dtype: code, shape, start, end } of tensors) {
      const count = product(shape)
      if (code === 'U8') {
        const at = bytes.byteOffset + start
        p.output(name, p.buffer({ type: 'uint8', length: count, at }), shape, undefined, 'uint8')
        continue
      }
      const dtype = DTYPES[code]
      const place = { dtype, shape, count, start, end, bytes }
      const source: TensorSource = { ...place, form: 'safetensors', marks: [], escaped: false }
      const wide = dtype === 'float64' && style.dtype !== 'float64'
      const values = wide ? p.inputAsItIs(`/${name}`, source) : p.input(`/${name}`, source)
      p.output(name, values, shape, undefined, wide ? 'float64' : undefined)
    }
    p.report = () => fields
  },
}
