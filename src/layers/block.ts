/**
 * One layer of a transformer: a list of parts, each a function f of the rows (attention, a feed-forward network) with
 * norms and a residual around it:
 *
 *   pre:       y = x + f(norm(x))
 *   post:      y = norm(x + f(x))
 *   sandwich:  y = x + norm′(f(norm(x)))
 *
 * The norms are counted through the layer: norm1, norm2, … Each part that has run knows its way back.
 * Sources: Vaswani et al. 2017 (post); Xiong et al. 2020 (pre); Ding et al. 2021 (sandwich).
 */

import type { Ref } from '../../workers/contract.ts'
import { add } from '../../workers/ops/elementwise/op.ts'
import type { NormArgs } from '../../workers/ops/norm/op.ts'
import type { RequestedResults } from './attention/softmax.ts'
import type { AttentionPlan } from './attention/stages/stage.ts'
import {
  type Applied,
  type Attention,
  attend,
  type Back,
  type Found,
  feed,
  type NormParams,
  normed,
  type Part,
  type Way,
} from './block-parts.ts'
import type { FeedForwardParams, FeedForwardShape } from './feed-forward.ts'
import type { MultiHeadParams, MultiHeadState } from './multi-head.ts'
import type { RequestProgram } from './program-builder.ts'

export type NormPlace = 'pre' | 'post' | 'sandwich'

export interface BlockParams {
  attention: MultiHeadParams
  /** with a context */
  cross?: MultiHeadParams
  ffn: FeedForwardParams
  /** norm1, norm2, …; undefined where it is the identity */
  norms: (NormParams | undefined)[]
}

/** How many norms stand around a part. */
export const NORMS: Record<NormPlace, number> = { pre: 1, post: 1, sandwich: 2 }

export interface BlockShape {
  plan: AttentionPlan
  /** how it attends to a context, where there is one */
  cross?: { plan: AttentionPlan; dContext: number }
  /** what is added to the dropout's seed for its first part; each has one of its own */
  seedOffset: number
  norm: NormPlace
  normArgs: NormArgs
  dModel: number
  ffn: FeedForwardShape
}

/** Rows [batch, queries, dModel] and, for cross-attention, [batch, keys, dContext]. */
export interface BlockInputs {
  x: Ref
  context?: Ref | undefined
  /** [batch, kvHeads, past, dim] */
  pastK?: Ref | undefined
  pastV?: Ref | undefined
  state?: Record<string, Ref> | undefined
}

/** What each attention is to give beside its output. */
export interface BlockRequested {
  attention: RequestedResults
  cross: RequestedResults
}

export interface BlockState {
  attention: MultiHeadState
  cross?: MultiHeadState
  output: Ref
  /** from the gradient of the output to that of x */
  back: Back
}

export interface BlockGradients extends Found {
  x: Ref
  heads: Ref
}

export function blockForward(
  p: RequestProgram,
  shape: BlockShape,
  inputs: BlockInputs,
  params: BlockParams,
  requested: BlockRequested,
): BlockState {
  let norms = 0
  const norm: Part = input => normed(p, shape.normArgs, `norm${++norms}`, params.norms[norms - 1], input)
  const states: MultiHeadState[] = []
  const attentions = attentionsOf(shape, params, requested, inputs)
  const parts: Part[] = attentions.map(each => attend(p, each, state => states.push(state)))
  parts.push((input, residual) => feed(p, shape.ffn, input, params.ffn, residual))
  const applied: Applied[] = []
  let output = inputs.x
  for (const part of parts) {
    const each = AROUND[shape.norm](p, part, norm, output)
    applied.push(each)
    output = each.output
  }
  const back: Back = (way, gradY) => applied.reduceRight((grad, each) => each.back(way, grad), gradY)
  const [attention, cross] = states
  return { attention, cross, output, back }
}

/** Differentiates blockForward. */
export function blockBackward(
  { back }: BlockState,
  gradOutput: Ref,
  asked: Omit<Way, 'found'>,
): BlockGradients {
  const found: Found = { params: new Map() }
  const x = back({ ...asked, found }, gradOutput)
  return { heads: gradOutput, ...found, x }
}

/** How norms and the residual stand around a part. */
const AROUND: Record<NormPlace, (p: RequestProgram, part: Part, norm: Part, x: Ref) => Applied> = {
  pre(_, part, norm, x) {
    const before = norm(x)
    const { output, back } = part(before.output, x)
    return { output, back: (way, grad) => before.back(way, back(way, grad), grad) }
  },
  post(_, part, norm, x) {
    const { output: sum, back } = part(x, x)
    const after = norm(sum)
    const throughPart = (way: Way, grad: Ref) => back(way, grad, grad)
    return { output: after.output, back: (way, grad) => throughPart(way, after.back(way, grad)) }
  },
  sandwich(p, part, norm, x) {
    const before = norm(x)
    const inner = part(before.output)
    const after = norm(inner.output)
    const throughPart = (way: Way, grad: Ref) => inner.back(way, after.back(way, grad))
    const count = p.buffers[x].length
    const output = p.reals(count)
    p.stage(p.step(add, { a: x, b: after.output, y: output }, { count, period: count }))
    return { output, back: (way, grad) => before.back(way, throughPart(way, grad), grad) }
  },
}

function attentionsOf(
  { plan, cross, dModel, seedOffset }: BlockShape,
  params: BlockParams,
  requested: BlockRequested,
  { context, pastK, pastV, state }: BlockInputs,
): Attention[] {
  const own: Attention = {
    name: 'attention',
    plan,
    sizes: { dModel, dContext: dModel, dOut: dModel },
    params: params.attention,
    inputs: { pastK, pastV, state },
    requested: requested.attention,
    seedOffset,
  }
  if (cross === undefined || params.cross === undefined) return [own]
  return [
    own,
    {
      name: 'cross_attention',
      plan: cross.plan,
      sizes: { ...own.sizes, dContext: cross.dContext },
      params: params.cross,
      inputs: { context },
      requested: requested.cross,
      seedOffset: seedOffset + 1,
    },
  ]
}
