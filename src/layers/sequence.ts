/** The inputs of layers: x [B, N, d_model] or [N, d_model], and a context [B, M, d_context] in x's rank. */
import type { Ref } from '../../workers/contract.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { wrong } from './geometry.ts'

export interface Sequence {
  /** whether it has the axis batch */
  batched: boolean
  batch: number
  positions: number
  dim: number
}

/** A tensor of the request, or a buffer of the program that has its shape. */
export type Given = TensorSource | { shape: number[]; ref: Ref }

export function sequenceOf(pointer: string, x: Given): Sequence {
  const rank = x.shape.length
  if (rank !== 2 && rank !== 3) wrong(pointer, x, 'expected rank 2 or 3')
  const [batch, positions, dim] = rank === 2 ? [1, ...x.shape] : x.shape
  if (dim === 0) wrong(pointer, x, 'expected d_model of at least 1')
  return { batched: rank === 3, batch, positions, dim }
}

export function contextOf(context: TensorSource, x: Sequence, pointer = '/context'): Sequence {
  const rank = x.batched ? 3 : 2
  const lead = x.batched ? `${x.batch}, ` : ''
  if (context.shape.length !== rank || (x.batched && context.shape[0] !== x.batch)) {
    wrong(pointer, context, `expected [${lead}M, d_context]`)
  }
  return sequenceOf(pointer, context)
}

/** [batch, …rest], without the batch where the request has none. */
export function sequenceShape({ batched, batch }: Sequence, ...rest: number[]): number[] {
  return batched ? [batch, ...rest] : rest
}
