/** The end of the forward pass: ∂L/∂output and the loss, from grad_output or a target, with the entropy term. */
import * as z from 'zod'
import type { Ref } from '../../workers/contract.ts'
import { add, maskRows } from '../../workers/ops/elementwise/op.ts'
import { lossTotal, rowTerms, squaredErrorLoss } from '../../workers/ops/loss/op.ts'
import type { TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import type { GradientTerms } from './attention/softmax.ts'
import { expectShape, type Geometry, inRank } from './geometry.ts'
import { real } from './numerics.ts'
import type { RequestProgram } from './program-builder.ts'

/** Members of `backward` where there is one attention, whose weights and logsumexp may be in the loss themselves. */
export function ofWeights(tensors: TensorKinds) {
  return {
    grad_weights: tensors.values
      .optional()
      .describe(
        '∂L/∂weights, before dropout, shaped like `weights`; where nothing is attended it is not looked at',
      ),
    grad_logsumexp: tensors.values.optional().describe('∂L/∂logsumexp, shaped like `logsumexp`'),
  }
}

const TERMS = ['grad_output', 'target', 'grad_weights', 'grad_logsumexp', 'entropy_weight'] as const

/** The field `backward`; `wrt`: the list of what it may name; `more`: members of its own. What is given of the loss adds up. */
export function backwardField<M extends z.ZodRawShape = Record<never, never>>(
  tensors: TensorKinds,
  wrt: z.ZodType<string[]>,
  byDefault: string,
  more: M = {} as M,
) {
  const known = TERMS.filter(name => name in more || !name.startsWith('grad_') || name === 'grad_output')
  const any = `${known.slice(0, -1).join(', ')} and ${known.at(-1)}`
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
      ...more,
      wrt: wrt.optional().describe(`inputs whose gradients are wanted; default ${byDefault}`),
    })
    .refine((value: object) => TERMS.some(name => isSet(value, name)), {
      error: `expected at least one of ${any}, got none`,
    })
    .refine((value: object) => !isSet(value, 'loss') || isSet(value, 'target'), {
      error: 'expected target beside loss, got none',
      path: ['loss'],
    })
    .describe('the loss: the sum of what is given of it here, of which one suffices')
}

function isSet(value: object, name: keyof LossOptions): boolean {
  return (value as LossOptions)[name] !== undefined
}

export interface LossOptions {
  grad_output?: TensorSource | undefined
  target?: TensorSource | undefined
  loss?: 'sum_squared_error' | 'mean_squared_error' | undefined
  entropy_weight?: number | undefined
  grad_weights?: TensorSource | undefined
  grad_logsumexp?: TensorSource | undefined
}

export interface Loss {
  gradOutput: Ref
  /** float64 [2]: the loss, and the coefficient of Σ entropy in it; absent where the loss has neither */
  scalars?: Ref
  /** absent where the loss has nothing of weights and logsumexp themselves */
  terms?: GradientTerms
}

/** What the loss is of: an output [batch, heads, queries, dim], and the rows whose entropies it may hold. */
export interface LossSubject {
  output: Ref
  /** as the client sees it */
  shape: number[]
  /** output is [batch, queries, heads, dim] */
  positionsFirst?: boolean | undefined
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
  /** of `rows` rows altogether, over every head and layer that attends; geometry and weights where there is one layer */
  attention?: {
    rows: number
    /** of the keys alone, and with sinks where there are any */
    logsumexp: Ref
    answered?: Ref
    entropy?: Ref
    geometry?: Geometry
    weights?: Ref
    inOrder?: InOrder | undefined
  }
}

/** Where rows and pairs stand in another order than the client sees: how they are put into it, and where they stand. */
export interface InOrder {
  rows(x: Ref): Ref
  pairs(x: Ref): Ref
  starts: { cuQ: Ref; cuK: Ref; pairStarts: Ref }
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
  const terms = gradientTerms(p, subject, options)
  let gradOutput: Ref | undefined
  let partials: Ref | undefined
  if (options.target !== undefined) {
    const target = read(p.input('/backward/target', options.target))
    gradOutput = p.reals(units * queries * dim)
    partials = p.buffer({ type: 'float64', length: units })
    const factor = options.loss === 'mean_squared_error' ? 1 / Math.max(1, elements) : 1
    const tensors = { output, target, qLengths, gradOutput, partials }
    const args = { batch, heads, queries, dimV: dim, factor, positionsFirst: subject.positionsFirst }
    p.stage(p.step(squaredErrorLoss, tensors, args))
  }
  if (options.grad_output !== undefined) {
    const given = read(p.input('/backward/grad_output', options.grad_output))
    const ofOutput = subject.maskPadding ? withoutPadding(p, subject, given) : given
    p.lossTerm({ of: 'output', value: output, gradient: ofOutput })
    gradOutput = gradOutput === undefined ? ofOutput : sumOf(p, gradOutput, ofOutput)
  }
  gradOutput ??= nothing(p, subject)
  if (partials === undefined && options.entropy_weight === undefined) return { gradOutput, terms }
  const scalars = p.buffer({ type: 'float64', length: 2, data: [0, 0] })
  const { entropy, logsumexp, rows = 0 } = attention ?? {}
  const tensors = { partials, entropy, logsumexp, scalars }
  const args = { partials: units, rows, entropyWeight: options.entropy_weight ?? 0 }
  p.stage(p.step(lossTotal, tensors, args))
  p.scalar('loss', scalars, 0)
  return { gradOutput, scalars, terms }
}

/** What the loss has of weights and logsumexp themselves: checks their shapes. */
function gradientTerms(
  p: RequestProgram,
  { attention, qLengths }: LossSubject,
  { grad_weights: ofWeights, grad_logsumexp: ofLogsumexp }: LossOptions,
): GradientTerms | undefined {
  const g = attention?.geometry
  if (g === undefined || (ofWeights === undefined && ofLogsumexp === undefined)) return undefined
  if (ofWeights !== undefined) {
    expectShape('/backward/grad_weights', ofWeights, inRank(g, g.queries, g.keys))
  }
  if (ofLogsumexp !== undefined) expectShape('/backward/grad_logsumexp', ofLogsumexp, inRank(g, g.queries))
  const { batch, heads, queries, keys } = g
  const { rows: rowsInOrder = asItIs, pairs: pairsInOrder = asItIs, starts } = attention?.inOrder ?? {}
  const weights = ofWeights && pairsInOrder(p.input('/backward/grad_weights', ofWeights))
  const rows = p.buffer({ type: 'float64', length: batch * heads * queries })
  const gradLogsumexp = ofLogsumexp && rowsInOrder(p.input('/backward/grad_logsumexp', ofLogsumexp))
  const { weights: value, answered } = attention ?? {}
  if (weights !== undefined && value !== undefined) p.lossTerm({ of: 'weights', value, gradient: weights })
  if (gradLogsumexp !== undefined && answered !== undefined) {
    p.lossTerm({
      of: 'logsumexp',
      value: answered,
      gradient: gradLogsumexp,
      rows: { heads, queries },
      qLengths,
    })
  }
  const tensors = {
    weights: weights === undefined ? undefined : value,
    gradWeights: weights,
    gradLogsumexp,
    ...starts,
    qLengths,
    terms: rows,
  }
  p.stage(p.step(rowTerms, tensors, { batch, heads, queries, keys }))
  return { weights, rows }
}

function sumOf(p: RequestProgram, a: Ref, b: Ref): Ref {
  const count = p.buffers[a].length
  const y = p.reals(count)
  p.stage(p.step(add, { a, b, y }, { count, period: count }))
  return y
}

/** Zeros in the place of ∂L/∂output, where the loss has nothing of the output. */
function nothing(p: RequestProgram, { output, batch, heads, queries, dim }: LossSubject): Ref {
  const y = p.reals(batch * heads * queries * dim)
  const lengths = p.buffer({ type: 'int32', length: 1, data: [0] })
  const args = { batch: 1, positions: batch * heads * queries, dim }
  p.stage(p.step(maskRows, { x: output, lengths, y }, args))
  return y
}

/** Padding takes no part in any gradient, even where grad_output has a NaN there. */
function withoutPadding(p: RequestProgram, { batch, queries, dim, qLengths }: LossSubject, x: Ref): Ref {
  if (qLengths === undefined) return x
  const y = p.reals(batch * queries * dim)
  const args = { batch, positions: queries, dim }
  p.stage(p.step(maskRows, { x, lengths: qLengths, y }, args))
  return y
}
