/** Tensors of a comparison: what a request holds, and what a kernel under test makes of it. */
import { normalNumbers } from '../../support/numbers.ts'

export interface Flat {
  shape: number[]
  data: number[]
}

export function draw(seed: number, ...shape: number[]): Flat {
  const normal = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, () => Math.fround(normal())) }
}

export function likeShape(shape: number[], data: ArrayLike<number>): Flat {
  return { shape, data: Array.from(data) }
}
