/** Seeded tensors for the requests of the digests, and the forms in which a request may write them. */
import { type FileTensor, writeFile } from '../safetensors-file.ts'

export type Body = Record<string, unknown>
export type Form = 'flat' | 'nested' | 'base64' | 'safetensors'
export type Values = (number | boolean | string)[]

export interface Tensor {
  shape: number[]
  data: Values
  dtype?: string
}

export interface Draw {
  /** numbers of a bell shape around 0, seven digits each: rounding to float32 is part of the test */
  (...shape: number[]): Tensor
  /** true in seven of ten places */
  bools(...shape: number[]): Tensor
}

const product = (shape: number[]) => shape.reduce((size, extent) => size * extent, 1)

/** The same text draws the same tensors on every machine (FNV-1a, then mulberry32). */
export function drawer(text: string): Draw {
  let state = 0x811c9dc5
  for (const letter of text) state = Math.imul(state ^ (letter.codePointAt(0) ?? 0), 0x01000193) >>> 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const fill = (shape: number[], next: () => number | boolean): Tensor => ({
    shape,
    data: Array.from({ length: product(shape) }, next),
  })
  const number = () => Number((uniform() + uniform() + uniform() - 1.5).toPrecision(7))
  return Object.assign((...shape: number[]) => fill(shape, number), {
    bools: (...shape: number[]) => fill(shape, () => uniform() < 0.7),
  })
}

/** The tensor with `value` wherever `at` says so of the element's index. */
export function spoiled(tensor: Tensor, value: number | string, at: (index: number[]) => boolean): Tensor {
  const strides = tensor.shape.map((_, axis) => product(tensor.shape.slice(axis + 1)))
  const data = tensor.data.map((element, flat) =>
    at(strides.map((stride, axis) => Math.floor(flat / stride) % tensor.shape[axis])) ? value : element,
  )
  return { ...tensor, data }
}

export function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'shape' in value && 'data' in value
}

/** The body with every tensor in another form. */
export function mapTensors(value: unknown, write: (tensor: Tensor) => unknown): unknown {
  if (isTensor(value)) return write(value)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, mapTensors(member, write)]))
}

/** A request body's bytes. */
export function written(body: Body, form: Form): Buffer<ArrayBuffer> {
  if (form === 'flat') return Buffer.from(JSON.stringify(body))
  if (form === 'nested') return Buffer.from(JSON.stringify(mapTensors(body, nested)))
  if (form === 'base64') return Buffer.from(JSON.stringify(mapTensors(body, base64)))
  const tensors: Record<string, FileTensor> = {}
  const rest = withoutTensors(body, [], tensors)
  return writeFile(tensors, { request: JSON.stringify(rest) })
}

function withoutTensors(body: Body, path: string[], tensors: Record<string, FileTensor>): Body {
  const rest: Body = {}
  for (const [key, value] of Object.entries(body)) {
    const place = [...path, key]
    if (isTensor(value)) tensors[place.join('.')] = fileTensor(value)
    else if (typeof value !== 'object' || value === null || Array.isArray(value)) rest[key] = value
    else rest[key] = withoutTensors(value as Body, place, tensors)
  }
  return rest
}

function nested({ shape, data }: Tensor): unknown {
  let rows: unknown[] = data
  for (const extent of shape.slice(1).reverse()) {
    rows = Array.from({ length: rows.length / extent }, (_, row) =>
      rows.slice(row * extent, (row + 1) * extent),
    )
  }
  return rows
}

function base64(tensor: Tensor): unknown {
  const dtype = dtypeOf(tensor)
  return { shape: tensor.shape, dtype, base64: Buffer.from(bytesOf(tensor.data, dtype)).toString('base64') }
}

const FILE_DTYPES: Record<string, string> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  bool: 'BOOL',
  int32: 'I32',
  int64: 'I64',
}

function fileTensor(tensor: Tensor): FileTensor {
  const dtype = dtypeOf(tensor)
  return { dtype: FILE_DTYPES[dtype], shape: tensor.shape, data: bytesOf(tensor.data, dtype) }
}

function dtypeOf({ dtype, data }: Tensor): string {
  return dtype ?? (typeof data[0] === 'boolean' ? 'bool' : 'float32')
}

function bytesOf(data: Values, dtype: string): Uint8Array {
  const numbers = data.map(Number)
  if (dtype === 'bool') return Uint8Array.from(numbers)
  if (dtype === 'int64') return new Uint8Array(BigInt64Array.from(numbers, BigInt).buffer)
  if (dtype === 'int32') return new Uint8Array(Int32Array.from(numbers).buffer)
  if (dtype === 'float64') return new Uint8Array(Float64Array.from(numbers).buffer)
  const singles = Float32Array.from(numbers)
  if (dtype === 'float32') return new Uint8Array(singles.buffer)
  const words = new Uint32Array(singles.buffer)
  const halves = dtype === 'bfloat16' ? Array.from(words, word => word >>> 16) : Array.from(words, float16)
  return new Uint8Array(Uint16Array.from(halves).buffer)
}

/** The float16 of a float32 in its normal range, cut off. */
function float16(word: number): number {
  const exponent = ((word >>> 23) & 0xff) - 127 + 15
  const sign = (word >>> 16) & 0x8000
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((word >>> 13) & 0x3ff)
}
