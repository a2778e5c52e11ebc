/** What a hypothesis changes of a program that no request could say. */
import type { Ref } from '../../../workers/contract.ts'
import type { AttentionArgs } from '../../../workers/ops/attention/op.ts'
import { combineElements } from '../../../workers/ops/compare/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'

/** What an evaluation answers, by name. */
export type Evaluation = Map<string, OutputTensor>

/** An attention of the evaluation. */
export interface Attention {
  args: AttentionArgs
  /** float64 [batch, heads, queries, 2]: (m, Σ) */
  denominator: Ref
  v: Ref
}

/** Tensors and arguments of attentionForward or attentionBackward. */
export interface Call {
  tensors: Record<string, Ref | undefined>
  args: AttentionArgs
}

export interface Alteration {
  /** where an input is read from */
  source?(pointer: string, source: TensorSource): TensorSource
  /** what stands in the place of an input */
  input?(p: RequestProgram, pointer: string, x: Ref): Ref
  /** of an attention, forward and backward */
  masks?(p: RequestProgram, call: Call): Call
  /** what is computed backward: calls that each write gradients of their own, one after the other */
  backward?(p: RequestProgram, call: Call): Call[]
  /** the softcap comes behind the masks */
  cappedLast?: true
  /** changes what the endpoint would answer */
  answer?(p: RequestProgram, evaluation: Evaluation, attentions: Attention[]): void
}

/** y = factor·x + share·z, with a z for every `period` elements of x, `stride` apart. */
export function combined(
  p: RequestProgram,
  x: Ref,
  factor: number,
  {
    z,
    share = 0,
    period = 1,
    stride = 1,
  }: { z?: Ref; share?: number; period?: number; stride?: number } = {},
): Ref {
  const count = p.buffers[x].length
  const y = p.buffer({ type: p.buffers[x].type, length: count })
  p.stage(p.step(combineElements, { x, z, y }, { count, factor, share, period, stride }))
  return y
}

/** An alteration that multiplies what has these names. */
export function scaling(factors: Record<string, number>): Alteration {
  return {
    answer(p, evaluation) {
      for (const [name, factor] of Object.entries(factors)) {
        const output = evaluation.get(name)
        if (output !== undefined) output.buffer = combined(p, output.buffer, factor)
      }
    },
  }
}
