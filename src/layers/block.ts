/**
 * One block of a transformer: attention and a feed-forward network, each with a norm and a residual.
 *
 *   pre:   x₁ = x + attention(norm1(x))     y = x₁ + ffn(norm2(x₁))
 *   post:  x₁ = norm1(x + attention(x))     y = norm2(x₁ + ffn(x₁))
 *
 * and below it its gradients, as steps. Sources: Vaswani et al. 2017 (post); Xiong et al. 2020 (pre).
 */

import type { Ref } from '../../workers/contract.ts'
import type { NormArgs } from '../../workers/ops/norm/op.ts'
import type { RequestedResults } from './attention/softmax.ts'
import type { AttentionPlan } from './attention/stages/stage.ts'
import {
  type FeedForwardParams,
  type FeedForwardShape,
  type FeedForwardState,
  feedForwardBackward,
  feedForwardForward,
} from './feed-forward.ts'
import {
  type MultiHeadParams,
  type MultiHeadState,
  multiHeadBackward,
  multiHeadForward,
} from './multi-head.ts'
import { type NormState, normBackward, normForward } from './norm.ts'
import type { RequestProgram } from './program-builder.ts'

export interface BlockParams {
  attention: MultiHeadParams & { w_o: Ref }
  norm1: NormParams
  ffn: FeedForwardParams
  norm2: NormParams
}

export interface NormParams {
  gamma: Ref
  beta?: Ref
}

export interface BlockShape {
  /** what is added to the dropout's seed for its attention */
  seedOffset: number
  norm: 'pre' | 'post'
  normArgs: NormArgs
  dModel: number
  ffn: FeedForwardShape
}

export interface BlockState {
  shape: BlockShape
  attention: MultiHeadState
  norm1: NormState
  ffn: FeedForwardState
  norm2: NormState
  output: Ref
}

export function blockForward(
  p: RequestProgram,
  plan: AttentionPlan,
  shape: BlockShape,
  x: Ref,
  params: BlockParams,
  requested: RequestedResults,
): BlockState {
  const { normArgs, dModel } = shape
  const sizes = { dModel, dContext: dModel, dOut: dModel }
  const attend = (input: Ref) =>
    multiHeadForward(p, plan, sizes, { x: input, residual: x }, params.attention, requested, shape.seedOffset)
  if (shape.norm === 'pre') {
    const norm1 = normForward(p, x, params.norm1, normArgs)
    const attention = attend(norm1.y)
    const norm2 = normForward(p, attention.output, params.norm2, normArgs)
    const ffn = feedForwardForward(p, shape.ffn, norm2.y, params.ffn, attention.output)
    return { shape, attention, norm1, ffn, norm2, output: ffn.output }
  }
  const attention = attend(x)
  const norm1 = normForward(p, attention.output, params.norm1, normArgs)
  const ffn = feedForwardForward(p, shape.ffn, norm1.y, params.ffn, norm1.y)
  const norm2 = normForward(p, ffn.output, params.norm2, normArgs)
  return { shape, attention, norm1, ffn, norm2, output: norm2.y }
}

/** Gradients by parameter: `attention.w_q`, `norm1.gamma`, `ffn.w_1`, … */
export interface BlockGradients {
  x: Ref
  /** of attention's own output [batch, heads, queries, dimV] */
  heads: Ref
  mask?: Ref
  sinks?: Ref
  params: Map<string, Ref>
}

/** Differentiates blockForward. `wants` is requested for the parameters' names. */
export function blockBackward(
  p: RequestProgram,
  { shape, attention, norm1, ffn, norm2 }: BlockState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  wants: (name: string) => boolean,
  needsOf: { mask: boolean; sinks: boolean },
): BlockGradients {
  const params = new Map<string, Ref>()
  const note = (prefix: string, gradients: object) => {
    for (const [name, ref] of Object.entries(gradients)) {
      if (name !== 'x' && ref !== undefined) params.set(`${prefix}.${name}`, ref)
    }
  }
  const throughNorm = (name: 'norm1' | 'norm2', state: NormState, gradY: Ref, residual?: Ref): Ref => {
    const needs = { gamma: wants(`${name}.gamma`), beta: wants(`${name}.beta`) }
    const gradients = normBackward(p, state, gradY, needs, residual)
    note(name, gradients)
    return gradients.x
  }
  const throughFfn = (gradY: Ref, residual?: Ref): Ref => {
    const gradients = feedForwardBackward(p, ffn, gradY, name => wants(`ffn.${name}`), p.nonFinite, residual)
    note('ffn', gradients)
    return gradients.x
  }
  let mask: Ref | undefined
  let sinks: Ref | undefined
  let heads = gradOutput
  const throughAttention = (gradY: Ref, residual?: Ref): Ref => {
    const needs = {
      x: true,
      context: false,
      ...needsOf,
      pastK: false,
      pastV: false,
      param: (name: string) => wants(`attention.${name}`),
    }
    const gradients = multiHeadBackward(p, attention, gradY, scalars, needs, residual)
    note('attention', gradients.params)
    mask = gradients.mask
    sinks = gradients.sinks
    heads = gradients.heads
    return gradients.x as Ref
  }
  if (shape.norm === 'pre') {
    const gradMiddle = throughNorm('norm2', norm2, throughFfn(gradOutput), gradOutput)
    const x = throughNorm('norm1', norm1, throughAttention(gradMiddle), gradMiddle)
    return { x, heads, mask, sinks, params }
  }
  const gradFfn = throughNorm('norm2', norm2, gradOutput)
  const gradAttention = throughNorm('norm1', norm1, throughFfn(gradFfn, gradFfn))
  const x = throughAttention(gradAttention, gradAttention)
  return { x, heads, mask, sinks, params }
}
