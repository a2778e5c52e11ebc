/** A tensor of a request before its elements are read: its shape, and where and how its elements are written. */
import type { ElementType } from '../../workers/contract.ts'

export interface TensorSource {
  shape: number[]
  count: number
  /** element type on the wire; JSON numbers without a dtype are float64, booleans bool */
  dtype: ElementType
  /** how it came: nested arrays, {shape, data}, {shape, base64}, a tensor of a safetensors file, {shape} alone */
  form: 'nested' | 'flat' | 'base64' | 'safetensors' | 'shape'
  /** the text or bytes it is part of, in shared memory */
  bytes: Uint8Array
  start: number
  end: number
  marks: number[]
  escaped: boolean
}

export function product(shape: number[]): number {
  return shape.reduce((total, extent) => total * extent, 1)
}

/** Where the shape stands, below the tensor's own pointer: `/k/shape` or `/k`. */
export function shapePointer(source: TensorSource): string {
  return source.form === 'nested' || source.form === 'safetensors' ? '' : '/shape'
}

/** Where element `index` stands, below the tensor's own pointer; '' where a pointer cannot reach it. */
export function elementPointer(source: TensorSource, index: number): string {
  if (source.form === 'flat') return `/data/${index}`
  return source.form === 'nested' ? `/${indices(source.shape, index).join('/')}` : ''
}

/** The indices of flat element `index`. */
export function indices(shape: number[], index: number): number[] {
  const result: number[] = []
  let rest = index
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result.unshift(rest % shape[axis])
    rest = Math.floor(rest / shape[axis])
  }
  return result
}
