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
  type FeedForwardParams,
  type FeedForwardShape,
  feedForwardBackward,
  feedForwardForward,
} from './feed-forward.ts'
import {
  type MultiHeadInputs,
  type MultiHeadParams,
  type MultiHeadShape,
  type MultiHeadState,
  multiHeadBackward,
  multiHeadForward,
} from './multi-head.ts'
import { normBackward, normForward } from './norm.ts'
import type { RequestProgram } from './program-builder.ts'

export type NormPlace = 'pre' | 'post' | 'sandwich'

export interface BlockParams {
  attention: MultiHeadParams
  /** with a context */
  cross?: MultiHeadParams
  ffn: FeedForwardParams
  /** norm1, norm2, … */
  norms: NormParams[]
}

export interface NormParams {
  gamma: Ref
  beta?: Ref
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

/** Gradients by parameter: `attention.w_q`, `norm1.gamma`, `ffn.w_1`, … */
export interface BlockGradients {
  x: Ref
  /** of attention's own output [batch, heads, queries, dimV] */
  heads: Ref
  crossHeads?: Ref
  context?: Ref
  pastK?: Ref
  pastV?: Ref
  mask?: Ref
  params: Map<string, Ref>
}

/** What the way back is told, and what it finds beside the gradient of x. */
interface Way {
  scalars: Ref | undefined
  /** is asked for the parameters' names */
  wants(name: string): boolean
  wantMask: boolean
  wantContext: boolean
  wantPast: { k: boolean; v: boolean }
  found: Omit<BlockGradients, 'x' | 'heads'> & Partial<Pick<BlockGradients, 'heads'>>
}

/** ∂L/∂x = (∂y/∂x)ᵀ·gradY + residual. */
type Back = (way: Way, gradY: Ref, residual?: Ref) => Ref

interface Applied {
  output: Ref
  back: Back
}

/** f(x) + residual */
type Part = (x: Ref, residual?: Ref) => Applied

export function blockForward(
  p: RequestProgram,
  shape: BlockShape,
  inputs: BlockInputs,
  params: BlockParams,
  requested: BlockRequested,
): BlockState {
  let norms = 0
  const norm: Part = input => normed(p, shape, `norm${++norms}`, params.norms[norms - 1], input)
  const states: MultiHeadState[] = []
  const attends =
    (inner: Attention): Part =>
    (input, residual) => {
      const state = attend(p, inner, { x: input, ...inner.inputs, residual })
      states.push(state)
      return { output: state.output, back: attendBack(p, inner, state) }
    }
  const parts: Part[] = attentionsOf(shape, params, requested, inputs).map(attends)
  parts.push((input, residual) => feed(p, shape, input, params.ffn, residual))
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
  const found: Way['found'] = { params: new Map() }
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

function normed(
  p: RequestProgram,
  { normArgs }: BlockShape,
  name: string,
  params: NormParams,
  x: Ref,
): Applied {
  const state = normForward(p, x, params, normArgs)
  return {
    output: state.y,
    back(way, gradY, residual) {
      const needs = { gamma: way.wants(`${name}.gamma`), beta: way.wants(`${name}.beta`) }
      const { x, ...found } = normBackward(p, state, gradY, needs, residual)
      note(way, name, found)
      return x
    },
  }
}

/** One attention of a layer. */
interface Attention {
  name: 'attention' | 'cross_attention'
  plan: AttentionPlan
  sizes: MultiHeadShape
  params: MultiHeadParams
  inputs: Pick<MultiHeadInputs, 'context' | 'pastK' | 'pastV'>
  requested: RequestedResults
  seedOffset: number
}

function attentionsOf(
  { plan, cross, dModel, seedOffset }: BlockShape,
  params: BlockParams,
  requested: BlockRequested,
  { context, pastK, pastV }: BlockInputs,
): Attention[] {
  const own: Attention = {
    name: 'attention',
    plan,
    sizes: { dModel, dContext: dModel, dOut: dModel },
    params: params.attention,
    inputs: { pastK, pastV },
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

function attend(
  p: RequestProgram,
  { plan, sizes, params, requested, seedOffset }: Attention,
  inputs: MultiHeadInputs,
): MultiHeadState {
  return multiHeadForward(p, plan, sizes, inputs, params, requested, seedOffset)
}

function attendBack(p: RequestProgram, { name }: Attention, state: MultiHeadState): Back {
  const { cross } = state
  return (way, gradY, residual) => {
    const needs = {
      x: true,
      context: cross && way.wantContext,
      mask: !cross && way.wantMask,
      pastK: !cross && way.wantPast.k,
      pastV: !cross && way.wantPast.v,
      param: (param: string) => way.wants(`${name}.${param}`),
    }
    const found = multiHeadBackward(p, state, gradY, way.scalars, needs, residual)
    note(way, name, found.params)
    if (cross) {
      way.found.context = found.context
      way.found.crossHeads = found.heads
    } else {
      const { mask, pastK, pastV } = found
      Object.assign(way.found, { mask, pastK, pastV })
      way.found.heads = found.heads
    }
    return found.x as Ref
  }
}

function feed(
  p: RequestProgram,
  { ffn }: BlockShape,
  x: Ref,
  params: FeedForwardParams,
  residual: Ref | undefined,
): Applied {
  const state = feedForwardForward(p, ffn, x, params, residual)
  return {
    output: state.output,
    back(way, gradY, residual) {
      const wants = (name: string) => way.wants(`ffn.${name}`)
      const { x, ...found } = feedForwardBackward(p, state, gradY, wants, p.nonFinite, residual)
      note(way, 'ffn', found)
      return x
    },
  }
}

/** The gradients of a part's parameters. */
function note({ found }: Way, part: string, gradients: { [name: string]: Ref | undefined }): void {
  for (const [name, ref] of Object.entries(gradients)) {
    if (ref !== undefined) found.params.set(`${part}.${name}`, ref)
  }
}
