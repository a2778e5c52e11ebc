/** The parts of a layer, forward, each with its way back: attention, the feed-forward network, a norm. */
import type { Ref } from '../../workers/contract.ts'
import { add } from '../../workers/ops/elementwise/op.ts'
import type { NormArgs } from '../../workers/ops/norm/op.ts'
import type { OwnGradients, RequestedResults } from './attention/softmax.ts'
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

/** What a layer's way back finds beside the gradient of x. */
export interface Found {
  /** of attention's own output [batch, heads, queries, dimV] */
  heads?: Ref
  crossHeads?: Ref
  context?: Ref
  pastK?: Ref
  pastV?: Ref
  own?: OwnGradients | undefined
  mask?: Ref
  /** of its table */
  relativeBias?: Ref
  /** by name: `attention.w_q`, `norm1.gamma`, `ffn.w_1`, … */
  params: Map<string, Ref>
}

/** What the way back is told, and what it has found so far. */
export interface Way {
  scalars: Ref | undefined
  /** is asked for the parameters' names */
  wants(name: string): boolean
  wantMask: boolean
  wantRelativeBias: boolean
  wantContext: boolean
  /** is asked where there is a past */
  wantPast(name: 'k' | 'v'): boolean
  /** is asked for the inputs that only some variants have */
  wantOwn(name: string): boolean
  found: Found
}

/** ∂L/∂x = (∂y/∂x)ᵀ·gradY + residual. */
export type Back = (way: Way, gradY: Ref, residual?: Ref) => Ref

export interface Applied {
  output: Ref
  back: Back
}

/** f(x) + residual */
export type Part = (x: Ref, residual?: Ref) => Applied

export interface NormParams {
  gamma: Ref
  beta?: Ref
}

/** The identity, where there are no parameters. */
export function normed(
  p: RequestProgram,
  args: NormArgs,
  name: string,
  params: NormParams | undefined,
  x: Ref,
): Applied {
  if (params === undefined) return { output: x, back: (_way, gradY, residual) => sumOf(p, gradY, residual) }
  const state = normForward(p, x, params, args)
  return {
    output: state.y,
    back(way, gradY, residual) {
      const needs = { gamma: way.wants(`${name}.gamma`), beta: way.wants(`${name}.beta`) }
      const found = normBackward(p, state, gradY, needs, residual)
      note(way, name, found)
      return found.x
    },
  }
}

export function sumOf(p: RequestProgram, a: Ref, b: Ref | undefined): Ref {
  if (b === undefined) return a
  const count = p.buffers[a].length
  const y = p.reals(count)
  p.stage(p.step(add, { a, b, y }, { count, period: count }))
  return y
}

/** One attention of a layer. */
export interface Attention {
  name: 'attention' | 'cross_attention'
  plan: AttentionPlan
  sizes: MultiHeadShape
  params: MultiHeadParams
  inputs: Pick<MultiHeadInputs, 'context' | 'pastK' | 'pastV' | 'state'>
  requested: RequestedResults
  seedOffset: number
}

/** Gives its state to `seen`: an answer may say more of it. */
export function attend(
  p: RequestProgram,
  { plan, sizes, params, inputs, requested, seedOffset, name }: Attention,
  seen: (state: MultiHeadState) => void,
): Part {
  return (x, residual) => {
    const from = { x, ...inputs, residual }
    const state = multiHeadForward(p, plan, sizes, from, params, requested, seedOffset)
    seen(state)
    return { output: state.output, back: attendBack(p, name, state, inputs.pastK !== undefined) }
  }
}

function attendBack(p: RequestProgram, name: string, state: MultiHeadState, past: boolean): Back {
  const { cross } = state
  return (way, gradY, residual) => {
    const needs = {
      x: true,
      context: cross && way.wantContext,
      mask: !cross && way.wantMask,
      sinks: false,
      relativeBias: !cross && way.wantRelativeBias,
      pastK: past && way.wantPast('k'),
      pastV: past && way.wantPast('v'),
      own: cross ? undefined : way.wantOwn,
      param: (param: string) => way.wants(`${name}.${param}`),
    }
    const found = multiHeadBackward(p, state, gradY, way.scalars, needs, residual)
    note(way, name, found.params)
    if (cross) {
      way.found.context = found.context
      way.found.crossHeads = found.heads
    } else {
      way.found.mask = found.mask
      way.found.relativeBias = found.relativeBias
      way.found.heads = found.heads
      way.found.pastK = found.pastK
      way.found.pastV = found.pastV
      way.found.own = found.own
    }
    return found.x as Ref
  }
}

export function feed(
  p: RequestProgram,
  shape: FeedForwardShape,
  x: Ref,
  params: FeedForwardParams,
  residual: Ref | undefined,
): Applied {
  const state = feedForwardForward(p, shape, x, params, residual)
  return {
    output: state.output,
    back(way, gradY, residual) {
      const wants = (name: string) => way.wants(`ffn.${name}`)
      const found = feedForwardBackward(p, state, gradY, wants, p.nonFinite, residual)
      note(way, 'ffn', found)
      return found.x
    },
  }
}

/** The gradients of a part's parameters, all of these but that of x. */
function note({ found }: Way, part: string, gradients: { [name: string]: Ref | undefined }): void {
  for (const [name, ref] of Object.entries(gradients)) {
    if (name !== 'x' && ref !== undefined) found.params.set(`${part}.${name}`, ref)
  }
}
