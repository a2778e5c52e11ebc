/** The end of the forward pass: ∂L/∂output and the loss, from grad_output or a target, with the entropy term. */
import type { Ref } from '../../workers/task.ts'
import type { TensorSource } from '../tensors/tensor-source.ts'
import type { AttentionState } from './attention.ts'
import type { RequestProgram } from './request-program.ts'

export interface LossOptions {
  grad_output?: TensorSource | undefined
  target?: TensorSource | undefined
  loss?: 'sum_squared_error' | 'mean_squared_error' | undefined
  entropy_weight?: number | undefined
}

export interface Loss {
  gradOutput: Ref
  /** float64 [2]: the loss, and the coefficient of Σ entropy in it; absent where the loss has neither */
  scalars?: Ref
}

/** `elements`: of the output, without the query rows that are padding. */
export function lossForward(
  p: RequestProgram,
  state: AttentionState,
  options: LossOptions,
  elements: number,
): Loss {
  const { args, output, qLengths, logsumexp, entropy } = state
  const { batch, heads, queries, dimV } = args
  const units = batch * heads
  let gradOutput: Ref
  let partials: Ref | undefined
  if (options.target !== undefined) {
    const target = p.input('/backward/target', options.target)
    gradOutput = p.reals(units * queries * dimV)
    partials = p.buffer({ type: 'float64', length: units })
    const factor = options.loss === 'mean_squared_error' ? 1 / Math.max(1, elements) : 1
    p.stage({
      op: 'squaredErrorLoss',
      tensors: { output, target, qLengths, gradOutput, partials },
      args: { batch, heads, queries, dimV, factor },
      phase: 'compute',
      units,
      chain: 1,
      flops: units * queries * dimV * 4,
      bytes: 0,
    })
  } else {
    gradOutput = p.input('/backward/grad_output', options.grad_output as TensorSource)
  }
  if (partials === undefined && options.entropy_weight === undefined) return { gradOutput }
  const scalars = p.buffer({ type: 'float64', length: 2, data: [0, 0] })
  p.stage({
    op: 'lossTotal',
    tensors: { partials, entropy, logsumexp, scalars },
    args: { batch, heads, queries, entropyWeight: options.entropy_weight ?? 0 },
    phase: 'compute',
    units: 1,
    chain: 1,
    flops: units * (queries + 1) * 2,
    bytes: 0,
  })
  return { gradOutput, scalars }
}
