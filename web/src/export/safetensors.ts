/**
 * The safetensors format: eight bytes of header length, a JSON header that names every tensor's dtype, shape and place, then
 * the bytes. Source: huggingface/safetensors, "Format".
 */
export interface NamedTensor {
  name: string
  shape: number[]
  data: Float64Array | Float32Array | Uint8Array
}

const DTYPES = { Float64Array: 'F64', Float32Array: 'F32', Uint8Array: 'U8' } as const

export function writeSafetensors(
  tensors: NamedTensor[],
  metadata: Record<string, string>,
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let end = 0
  for (const { name, shape, data } of tensors) {
    const dtype = DTYPES[data.constructor.name as keyof typeof DTYPES]
    header[name] = { dtype, shape, data_offsets: [end, end + data.byteLength] }
    end += data.byteLength
  }
  // the header is padded with blanks, so that the tensors are aligned to their elements
  const json = new TextEncoder().encode(JSON.stringify(header))
  const length = Math.ceil(json.length / 8) * 8
  const file = new Uint8Array(8 + length + end)
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true)
  file.fill(0x20, 8, 8 + length)
  file.set(json, 8)
  let offset = 8 + length
  for (const { data } of tensors) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
    offset += data.byteLength
  }
  return file
}
