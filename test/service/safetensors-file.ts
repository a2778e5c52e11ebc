/** Writes and reads safetensors files in a second, independent way. */
const SIZES: Record<string, number> = { F64: 8, F32: 4, F16: 2, BF16: 2, BOOL: 1, I32: 4, I64: 8, U8: 1 }

export interface FileTensor {
  dtype: string
  shape: number[]
  data: Uint8Array
}

export function writeFile(
  tensors: Record<string, FileTensor>,
  metadata: Record<string, string>,
): Buffer<ArrayBuffer> {
  let at = 0
  const header: Record<string, unknown> = { __metadata__: metadata }
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.length] }
    at += data.length
  }
  const text = JSON.stringify(header)
  // as the format's own writer does: the data begins on a multiple of 8
  const json = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json, ...Object.values(tensors).map(({ data }) => data)])
}

export function readFile(file: Buffer): {
  tensors: Record<string, FileTensor>
  response: Record<string, unknown>
} {
  const { tensors, metadata } = readFileTensors(file)
  return { tensors, response: JSON.parse(metadata.response) }
}

/** Any file's tensors and metadata. */
export function readFileTensors(file: Buffer): {
  tensors: Record<string, FileTensor>
  metadata: Record<string, string>
} {
  const length = file.readUInt32LE(0)
  const { __metadata__: metadata, ...entries } = JSON.parse(file.subarray(8, 8 + length).toString())
  const tensors: Record<string, FileTensor> = {}
  for (const [name, entry] of Object.entries(
    entries as Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>,
  )) {
    const [from, to] = entry.data_offsets
    const size = entry.shape.reduce((product, extent) => product * extent, SIZES[entry.dtype])
    if (to - from !== size) throw new Error(`${name}: ${to - from} bytes for ${size}`)
    tensors[name] = {
      dtype: entry.dtype,
      shape: entry.shape,
      data: file.subarray(8 + length + from, 8 + length + to),
    }
  }
  return { tensors, metadata }
}

export function float32(values: ArrayLike<number>, shape: number[]): FileTensor {
  return { dtype: 'F32', shape, data: new Uint8Array(Float32Array.from(values).buffer) }
}

export function values(tensor: FileTensor): number[] {
  const bytes = Uint8Array.from(tensor.data).buffer
  return Array.from(tensor.dtype === 'F64' ? new Float64Array(bytes) : new Float32Array(bytes))
}
