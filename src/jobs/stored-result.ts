/** The stored answer of a job, a safetensors file, as a program that writes it in another form: the text has the bits of the file. */
import * as z from 'zod'
import type { JsonScan } from '../../workers/text/json-spans.ts'
import type { Compilable } from '../endpoints/endpoint.ts'
import { type FileEntry, headerOf, parseSafetensors } from '../formats/safetensors.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { Decoded, type Intake } from '../pipeline/decode.ts'
import type { Order, Stored } from './job.ts'
import type { Store } from './store.ts'

export interface StoredAnswer {
  bytes: Uint8Array
  tensors: FileEntry[]
  fields: Record<string, unknown>
  style: Order['style']
}

/** Reads it into shared memory; the memory goes with what is returned. */
export async function readAnswer(
  store: Store,
  { name, bytes: length }: Stored,
  style: Order['style'],
  { engine }: Intake,
): Promise<Decoded> {
  const region = await engine.room(length)
  const body = new Decoded('safetensors', engine)
  try {
    const bytes = body.keep(region, length)
    let at = 0
    for await (const chunk of store.read(name)) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    const header = headerOf(bytes) as Uint8Array
    const scan: JsonScan = engine.scanHere(header) ?? (await engine.scan(header))
    const file = parseSafetensors(bytes, () => scan)
    if (!file.ok) throw new Error(`the stored answer ${name} cannot be read: ${file.message}`)
    const fields: Record<string, unknown> = JSON.parse(file.metadata.response)
    body.tree = { bytes, tensors: file.tensors, fields, style } satisfies StoredAnswer
    return body
  } catch (error) {
    body[Symbol.dispose]()
    throw error
  }
}

export const storedAnswer: Compilable<StoredAnswer> = {
  request: z.custom<StoredAnswer>(),
  // float32 holds every number of a smaller type
  program: ({ style }) => new RequestProgram(style.dtype === 'float64' ? 'float64' : 'float32', 'propagate'),
  compile(p, { bytes, tensors, fields, style }) {
    for (const { name, ...place } of tensors) {
      const { dtype, shape } = place
      const count = product(shape)
      const source: TensorSource = { ...place, count, bytes, form: 'safetensors', marks: [], escaped: false }
      const wide = dtype === 'float64' && style.dtype !== 'float64'
      const values = wide ? p.inputAsItIs(`/${name}`, source) : p.input(`/${name}`, source)
      p.output(name, values, shape, undefined, wide ? 'float64' : undefined)
    }
    p.report = () => fields
  },
}
