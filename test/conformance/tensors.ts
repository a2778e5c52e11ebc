/** What ONNX writes in another order or shape than the service, put right without a look at the numbers. */
import type { FileTensor } from '../service/safetensors-file.ts'

const BYTES: Record<string, number> = { F64: 8, F32: 4, F16: 2, BF16: 2, BOOL: 1, I32: 4, I64: 8 }
/** What an element of a mask is that forbids a key, little-endian: −∞, or false. */
const FORBIDDEN: Record<string, number[]> = {
  F64: [0, 0, 0, 0, 0, 0, 0xf0, 0xff],
  F32: [0, 0, 0x80, 0xff],
  F16: [0, 0xfc],
  BF16: [0x80, 0xff],
  BOOL: [0],
}

export function reshaped({ dtype, data }: FileTensor, shape: number[]): FileTensor {
  return { dtype, data, shape }
}

/** [B, N, H·d] as [B, N, H, d]. */
export function headsApart(x: FileTensor, heads: number): FileTensor {
  const [batch, positions, width] = x.shape
  return reshaped(x, [batch, positions, heads, width / heads])
}

/** [B, N, H, d] as [B, N, H·d]. */
export function headsTogether(x: FileTensor): FileTensor {
  const [batch, positions, heads, dim] = x.shape
  return reshaped(x, [batch, positions, heads * dim])
}

/** [a, b, c, d] as [a, c, b, d]. */
export function middleAxesSwapped({ dtype, shape, data }: FileTensor): FileTensor {
  const [a, b, c, d] = shape
  const row = d * BYTES[dtype]
  const moved = new Uint8Array(data.length)
  for (let at = 0; at < a * b * c; at++) {
    const [i, j, k] = [Math.floor(at / (b * c)), Math.floor(at / c) % b, at % c]
    moved.set(data.subarray(at * row, (at + 1) * row), ((i * c + k) * b + j) * row)
  }
  return { dtype, shape: [a, c, b, d], data: moved }
}

/** A mask with `length` keys, of which those that it says nothing of are forbidden. */
export function paddedKeys({ dtype, shape, data }: FileTensor, length: number): FileTensor {
  const keys = shape.at(-1) as number
  if (keys >= length) return { dtype, shape, data }
  const [from, to] = [keys * BYTES[dtype], length * BYTES[dtype]]
  const rows = data.length / from
  const padded = new Uint8Array(rows * to)
  for (let at = 0; at < padded.length; at++) padded[at] = FORBIDDEN[dtype][at % BYTES[dtype]]
  for (let row = 0; row < rows; row++) padded.set(data.subarray(row * from, (row + 1) * from), row * to)
  return { dtype, shape: [...shape.slice(0, -1), length], data: padded }
}

/** Rows of a table [.., width] in the order of `indices`. */
export function rowsOf({ dtype, shape, data }: FileTensor, indices: FileTensor): FileTensor {
  const width = shape.at(-1) as number
  const row = width * BYTES[dtype]
  const at = new BigInt64Array(Uint8Array.from(indices.data).buffer)
  const found = Array.from(at, index => data.subarray(Number(index) * row, (Number(index) + 1) * row))
  return { dtype, shape: [...indices.shape, width], data: Buffer.concat(found) }
}
