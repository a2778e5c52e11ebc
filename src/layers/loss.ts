/** The end of the forward pass: ∂L/∂output and the loss, from grad_output or a target, with the entropy term. */
import * as z from 'zod'
import type { Ref } from '../../workers/contract.ts'
import { maskRows } from '../../workers/ops/elementwise/op.ts'
import { lossTotal, squaredErrorLoss } from '../../workers/ops/loss/op.ts'
import type { TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { expectShape } from './geometry.ts'
import { real } from './numerics.ts'
import type { RequestProgram } from './program-builder.ts'

/** The field `backward`; `wrt`: the list of what it may name. */
export function backwardField(tensors: TensorKinds, wrt: z.ZodType<string[]>, byDefault: string) {
  return z
    .strictObject({
      grad_output: tensors.values.optional().describe('∂L/∂output, shaped like the output'),
      target: tensors.values.optional().describe('target of a squared-error loss, shaped like the output'),
      loss: z
        .enum(['sum_squared_error', 'mean_squared_error'])
        .optional()
        .describe(
          'with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding',
        ),
      entropy_weight: real()
        .optional()
        .describe('λ: adds λ × the mean entropy of the rows that attend to something'),
      wrt: wrt.optional().describe(`inputs whose gradients are wanted; default ${byDefault}`),
    })
    .superRefine((value, context) => {
      if ((value.grad_output === undefined) !== (value.target === undefined)) return
      const got = value.target === undefined ? 'neither' : 'both'
      context.addIssue({ code: 'custom', message: `expected one of grad_output and target, got ${got}` })
    })
    .refine(value => value.loss === undefined || value.target !== undefined, {
      error: 'expected target beside loss, got none',
      path: ['loss'],
    })
}

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

/** What the loss is of: an output [batch, heads, queries, dim], and the rows whose entropies it may hold. */
export interface LossSubject {
  output: Ref
  /** as the client sees it */
  shape: number[]
  /** a tensor of that shape in the order of the output, where the client sees another */
  read?: ((x: Ref) => Ref) | undefined
  batch: number
  heads: number
  queries: number
  dim: number
  qLengths?: Ref
  /** elements of the output that are no padding */
  elements: number
  /** whether grad_output must lose its padding rows before anything reads it (attention itself skips them) */
  maskPadding?: boolean
  /** of `rows` rows altogether, over every head and layer that attends */
  attention?: { rows: number; logsumexp: Ref; entropy?: Ref }
}

function asItIs(x: Ref): Ref {
  return x
}

/** Checks grad_output or target against the output's shape, and answers the loss where there is one. */
export function lossForward(p: RequestProgram, subject: LossSubject, options: LossOptions): Loss {
  const { output, shape, read = asItIs, batch, heads, queries, dim, qLengths, elements, attention } = subject
  for (const name of ['grad_output', 'target'] as const) {
    const tensor = options[name]
    if (tensor !== undefined) expectShape(`/backward/${name}`, tensor, shape)
  }
  const units = batch * heads
  let gradOutput: Ref
  let partials: Ref | undefined
  if (options.target !== undefined) {
    const target = read(p.input('/backward/target', options.target))
    gradOutput = p.reals(units * queries * dim)
    partials = p.buffer({ type: 'float64', length: units })
    const factor = options.loss === 'mean_squared_error' ? 1 / Math.max(1, elements) : 1
    const tensors = { output, target, qLengths, gradOutput, partials }
    const args = { batch, heads, queries, dimV: dim, factor }
    p.stage(p.step(squaredErrorLoss, tensors, args))
  } else {
    const given = read(p.input('/backward/grad_output', options.grad_output as TensorSource))
    gradOutput = subject.maskPadding ? withoutPadding(p, subject, given) : given
  }
  if (partials === undefined && options.entropy_weight === undefined) return { gradOutput }
  const scalars = p.buffer({ type: 'float64', length: 2, data: [0, 0] })
  const { entropy, logsumexp, rows = 0 } = attention ?? {}
  const tensors = { partials, entropy, logsumexp, scalars }
  const args = { partials: units, rows, entropyWeight: options.entropy_weight ?? 0 }
  p.stage(p.step(lossTotal, tensors, args))
  p.scalar('loss', scalars, 0)
  return { gradOutput, scalars }
}

/** Padding takes no part in any gradient, even where grad_output has a NaN there. */
function withoutPadding(p: RequestProgram, { batch, queries, dim, qLengths }: LossSubject, x: Ref): Ref {
  if (qLengths === undefined) return x
  const y = p.reals(batch * queries * dim)
  const args = { batch, positions: queries, dim }
  p.stage(p.step(maskRows, { x, lengths: qLengths, y }, args))
  return y
}
