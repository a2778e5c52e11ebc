/**
 * Attention between projections: q, k, v from x (and a context), heads side by side, and the product with w_o. One head
 * without w_o is plain self-attention. Below it its gradients, as steps.
 */
import type { Ref } from '../../workers/contract.ts'
import { type AttentionState, attentionBackward, attentionForward } from './attention/index.ts'
import type { GradientTerms, OwnGradients, RequestedResults } from './attention/softmax.ts'
import type { AttentionPlan, GradientNeeds } from './attention/stages/stage.ts'
import { type LinearState, linearBackwardInput, linearBackwardParams, linearForward } from './linear.ts'
import type { RequestProgram } from './program-builder.ts'

const WEIGHTS = ['w_q', 'w_k', 'w_v', 'w_o'] as const
const BIASES = ['b_q', 'b_k', 'b_v', 'b_o'] as const
const GAINS = ['q_norm.gamma', 'k_norm.gamma'] as const
const SINKS = 'sinks'

export type MultiHeadParamName = (typeof WEIGHTS | typeof BIASES | typeof GAINS)[number] | typeof SINKS
export type MultiHeadParams = { [name in MultiHeadParamName]?: Ref } & { w_q: Ref; w_k: Ref; w_v: Ref }

export interface MultiHeadShape {
  dModel: number
  dContext: number
  dOut: number
}

export interface MultiHeadInputs {
  /** [batch, queries, dModel] */
  x: Ref
  /** [batch, new keys, dContext]; x itself for self-attention */
  context?: Ref | undefined
  pastK?: Ref | undefined
  pastV?: Ref | undefined
  state?: Record<string, Ref> | undefined
  /** added to the output, laid out like it; only with w_o */
  residual?: Ref | undefined
}

export interface MultiHeadState {
  q: LinearState
  k: LinearState
  v: LinearState
  attention: AttentionState
  o?: LinearState
  /** whether keys and values come from a context */
  cross: boolean
  output: Ref
}

export function multiHeadForward(
  p: RequestProgram,
  plan: AttentionPlan,
  shape: MultiHeadShape,
  { x, context, pastK, pastV, state: given, residual }: MultiHeadInputs,
  params: MultiHeadParams,
  requested: RequestedResults,
  seedOffset = 0,
): MultiHeadState {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = plan.geometry
  const source = context ?? x
  const fromX = { batch, positions: queries, headsIn: 1, dimIn: shape.dModel }
  const fromSource = { batch, positions: keys - plan.past, headsIn: 1, dimIn: shape.dContext }
  const q = linearForward(
    p,
    { x, weight: params.w_q, bias: params.b_q },
    { ...fromX, headsOut: heads, dimOut: heads * dimK },
  )
  const k = linearForward(
    p,
    { x: source, weight: params.w_k, bias: params.b_k },
    { ...fromSource, headsOut: kvHeads, dimOut: kvHeads * dimK },
  )
  const v = linearForward(
    p,
    { x: source, weight: params.w_v, bias: params.b_v },
    { ...fromSource, headsOut: kvHeads, dimOut: kvHeads * dimV },
  )
  p.stage(q.step, k.step, v.step)
  const own = { gainQ: params['q_norm.gamma'], gainK: params['k_norm.gamma'], sinks: params.sinks }
  const inputs = { q: q.state.y, k: k.state.y, v: v.state.y, ...own, pastK, pastV, state: given }
  const attention = attentionForward(p, plan, inputs, requested, seedOffset)
  const { output } = attention.attended
  const state = { q: q.state, k: k.state, v: v.state, attention, cross: context !== undefined }
  if (params.w_o === undefined) return { ...state, output }
  const o = linearForward(
    p,
    { x: output, weight: params.w_o, bias: params.b_o, residual },
    { batch, positions: queries, headsIn: heads, dimIn: heads * dimV, headsOut: 1, dimOut: shape.dOut },
  )
  p.stage(o.step)
  return { ...state, o: o.state, output: o.state.y }
}

export interface MultiHeadNeeds
  extends Pick<GradientNeeds, 'mask' | 'sinks' | 'relativeBias' | 'pastK' | 'pastV' | 'own'> {
  x: boolean
  context: boolean
  param(name: MultiHeadParamName): boolean
}

export interface MultiHeadGradients {
  x?: Ref
  context?: Ref
  mask?: Ref
  sinks?: Ref
  relativeBias?: Ref
  pastK?: Ref
  pastV?: Ref
  own?: OwnGradients | undefined
  /** of attention's own output [batch, heads, queries, dimV] */
  heads: Ref
  params: { [name in MultiHeadParamName]?: Ref }
}

/**
 * Differentiates multiHeadForward:
 *
 *   ∂heads = ∂Y·W_oᵀ     ∂X = ∂Q·W_qᵀ (+ ∂K·W_kᵀ + ∂V·W_vᵀ, or ∂context)     ∂W_q = Xᵀ·∂Q, …     ∂b = Σ_rows
 *
 * `residual` is added to the gradient of x. What is not needed is not computed.
 */
export function multiHeadBackward(
  p: RequestProgram,
  { q, k, v, o, attention, cross }: MultiHeadState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: MultiHeadNeeds,
  residual?: Ref,
  terms?: GradientTerms,
): MultiHeadGradients {
  const params: MultiHeadGradients['params'] = {}
  let gradHeads = gradOutput
  if (o !== undefined) {
    const back = linearBackwardInput(p, o, gradOutput)
    const own = linearBackwardParams(p, o, gradOutput, needsOf(needs, 'o'), p.nonFinite)
    p.stage(back.step, ...own.steps)
    params.w_o = own.weight
    params.b_o = own.bias
    gradHeads = back.gradX
  }
  const source = cross ? needs.context : needs.x
  const grads = attentionBackward(
    p,
    attention,
    gradHeads,
    scalars,
    {
      q: needs.x || needs.param('w_q') || needs.param('b_q') || needs.param('q_norm.gamma'),
      k: source || needs.param('w_k') || needs.param('b_k') || needs.param('k_norm.gamma'),
      v: source || needs.param('w_v') || needs.param('b_v'),
      gainQ: needs.param('q_norm.gamma'),
      gainK: needs.param('k_norm.gamma'),
      mask: needs.mask,
      sinks: needs.sinks || needs.param('sinks'),
      relativeBias: needs.relativeBias,
      pastK: needs.pastK,
      pastV: needs.pastV,
      own: needs.own,
    },
    terms,
  )
  params['q_norm.gamma'] = grads.gainQ
  params['k_norm.gamma'] = grads.gainK
  if (attention.plan.sinks === undefined) params.sinks = grads.sinks
  const steps = (['q', 'k', 'v'] as const).flatMap(name => {
    const gradient = grads[name]
    if (gradient === undefined) return []
    const own = linearBackwardParams(p, { q, k, v }[name], gradient, needsOf(needs, name), p.nonFinite)
    params[`w_${name}`] = own.weight
    params[`b_${name}`] = own.bias
    return own.steps
  })
  p.stage(...steps)

  let x = residual
  let context: Ref | undefined
  if (needs.x) x = through(p, q, grads.q as Ref, x)
  if (source) {
    const before = cross ? undefined : x
    const both = through(p, v, grads.v as Ref, through(p, k, grads.k as Ref, before))
    if (cross) context = both
    else x = both
  }
  const { mask, sinks, relativeBias, pastK, pastV, own } = grads
  return {
    x: needs.x ? x : undefined,
    context,
    mask,
    sinks,
    relativeBias,
    pastK,
    pastV,
    own,
    heads: gradHeads,
    params,
  }
}

/** gradY·Wᵀ on top of what is there. */
function through(p: RequestProgram, state: LinearState, gradY: Ref, sum: Ref | undefined): Ref {
  const { gradX, step } = linearBackwardInput(p, state, gradY, sum)
  p.stage(step)
  return gradX
}

function needsOf(needs: MultiHeadNeeds, name: 'q' | 'k' | 'v' | 'o') {
  return { weight: needs.param(`w_${name}`), bias: needs.param(`b_${name}`) }
}
