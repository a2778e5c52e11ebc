/** Reads a safetensors file without copying it: every tensor is a view of the frame it came in. */
export interface FrameTensor {
  shape: number[]
  data: Float32Array | Float64Array | Uint8Array
}

export interface SafetensorsFile {
  tensors: Record<string, FrameTensor>
  metadata: Record<string, string>
}

const ARRAYS = { F32: Float32Array, F64: Float64Array, U8: Uint8Array } as const

interface Entry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}

export function readSafetensors(file: ArrayBuffer): SafetensorsFile {
  const length = Number(new DataView(file).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length)))
  const { __metadata__: metadata = {}, ...entries } = header as { __metadata__?: Record<string, string> }
  const tensors: Record<string, FrameTensor> = {}
  for (const [name, entry] of Object.entries(entries as unknown as Record<string, Entry>)) {
    const [from, to] = entry.data_offsets
    const Elements = ARRAYS[entry.dtype as keyof typeof ARRAYS]
    if (Elements === undefined) throw new Error(`${name} is ${entry.dtype}`)
    const at = 8 + length + from
    const count = (to - from) / Elements.BYTES_PER_ELEMENT
    const aligned = at % Elements.BYTES_PER_ELEMENT === 0
    const data = aligned ? new Elements(file, at, count) : new Elements(file.slice(at, 8 + length + to))
    tensors[name] = { shape: entry.shape, data }
  }
  return { tensors, metadata }
}
