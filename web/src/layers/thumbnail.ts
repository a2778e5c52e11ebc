/** What a layer's frame holds of one head: a picture of bytes, and the entropy of its rows. */
import type { Frame } from '../stream/connection.ts'
import type { FrameTensor } from '../stream/read-safetensors.ts'
import type { Pass } from './state.ts'

export interface Thumbnail {
  pass: Pass
  layer: number
  head: number
  rows: number
  cols: number
  /** 0…255 is 0…scale; of gradients 128 is 0, and 1…255 is −scale…scale */
  bytes: Uint8Array
  scale: number
  /** of each query row, in nats; forward only */
  entropy: Float32Array | undefined
}

export const TENSOR = { forward: 'weights', backward: 'grad_weights' } as const

export function thumbnailsOf(frame: Frame): Thumbnail[] {
  const pass = frame.pass as Pass
  const name = TENSOR[pass]
  const map = frame.tensors[`tensors.${name}`]
  if (map === undefined || !(map.data instanceof Uint8Array)) return []
  const [heads, rows, cols] = map.shape.slice(-3) as [number, number, number]
  const scales = frame.tensors[`scales.${name}`]?.data
  const entropy = frame.tensors['tensors.entropy']
  return Array.from({ length: heads }, (_, head) => ({
    pass,
    layer: frame.index as number,
    head,
    rows,
    cols,
    bytes: (map.data as Uint8Array).subarray(head * rows * cols, (head + 1) * rows * cols),
    scale: scales?.[head] ?? 1,
    entropy: entropy && rowsOf(entropy, head, heads),
  }))
}

function rowsOf({ data, shape }: FrameTensor, head: number, heads: number): Float32Array {
  const length = shape.at(-1) ?? data.length / heads
  return Float32Array.from(data.subarray(head * length, (head + 1) * length))
}
