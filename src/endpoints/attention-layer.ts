/** What the layers of attention between projections share: members of their requests, and their way to a program. */
import * as z from 'zod'
import type { TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { ATTENTION_RETURNS, PRESENT_RETURNS } from '../layers/attention/fields.ts'
import { attentionAnswers, requestedResults } from '../layers/attention/index.ts'
import { type AttentionOptions, planAttention } from '../layers/attention/plan.ts'
import type { RelativeBiasOptions } from '../layers/attention/relative-bias.ts'
import { pastInputs } from '../layers/attention/stages/past.ts'
import { pastOfState, type StateSources } from '../layers/attention/state.ts'
import { OWN_NAMES, ownGradients, ownInputs } from '../layers/attention/variants/index.ts'
import type { Geometry } from '../layers/geometry.ts'
import { answerGradients, answerParams, GradientSet, maskGradient } from '../layers/gradients.ts'
import { type LossOptions, lossForward } from '../layers/loss.ts'
import {
  type MultiHeadParamName,
  type MultiHeadParams,
  multiHeadBackward,
  multiHeadForward,
} from '../layers/multi-head.ts'
import { nameList } from '../layers/numerics.ts'
import { type Params, paramName } from '../layers/params.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { contextOf, type Sequence, sequenceShape } from '../layers/sequence.ts'
import { fieldProblem } from '../problem.ts'

export const inputField = (tensors: TensorKinds) =>
  tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch')

export const LAYER_RETURNS = ['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS, 'state', 'params'] as const

/** What `wrt` may name: these inputs, those of every layer, and as many parameters. */
export function wrtField(params: number, ...inputs: string[]) {
  const names = [
    ...inputs,
    'mask',
    'sinks',
    'relative_bias.table',
    'past_k',
    'past_v',
    ...OWN_NAMES,
    'params',
  ]
  return nameList(z.union([z.enum(names), paramName]), names.length + params)
}

/** What a layer's request may hold beside its own fields. */
interface LayerRequest extends AttentionOptions {
  x: TensorSource
  context?: TensorSource | undefined
  relative_bias?: (RelativeBiasOptions & { table: TensorSource }) | undefined
  past_k?: TensorSource | undefined
  past_v?: TensorSource | undefined
  state?: StateSources | undefined
  return: string[]
  backward?: (LossOptions & { wrt?: string[] | undefined }) | undefined
}

/** What the two endpoints differ in. */
export interface Sizes {
  heads: number
  kvHeads: number
  dimK: number
  dimV: number
  /** of the product with w_o; undefined without one */
  dimOut?: number
  /** whether maps have the axis heads */
  headed: boolean
}

/** Where what attention is told of stands. */
const AT = { queries: '/x', keys: '/context' }

export function compileLayer(
  p: RequestProgram,
  request: LayerRequest,
  params: Params,
  x: Sequence,
  sizes: Sizes,
): void {
  const { heads, kvHeads, dimK, dimV, headed } = sizes
  const context = request.context === undefined ? undefined : contextOf(request.context, x)
  const source = context ?? x
  const fresh: Geometry = {
    batched: x.batched,
    headed,
    batch: x.batch,
    heads,
    kvHeads,
    queries: x.positions,
    keys: source.positions,
    dimK,
    dimV,
  }
  const given = request.state && pastOfState(p, request, fresh)
  const past = given ?? pastInputs(p, request, fresh)
  const g = { ...fresh, keys: fresh.keys + past.length }
  const refs = takeParams(params, x, source, sizes)
  const own = ownInputs(request)
  const gradientSet = new GradientSet(request.backward?.wrt, {
    x: true,
    context: context && true,
    mask: maskGradient(request.mask),
    sinks: request.sinks && true,
    'relative_bias.table': request.relative_bias && true,
    ...past.differentiable,
    ...own.differentiable,
    ...params.differentiable,
  })
  const plan = planAttention(p, request, g, past, AT)
  const inputs = {
    x: p.input('/x', request.x),
    context: request.context && p.input('/context', request.context),
    ...past.refs,
  }
  const dimOut = sizes.dimOut ?? dimV
  const shape = { dModel: x.dim, dContext: source.dim, dOut: dimOut }
  const taken = params.finish()
  p.stage(...params.draws())
  const state = multiHeadForward(p, plan, shape, inputs, refs, requestedResults(request))
  const outputShape = sequenceShape(x, x.positions, dimOut)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  attentionAnswers(p, state.attention, request.return, past.given && given === undefined)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const { logsumexp, entropy, attending } = state.attention.attended
  const loss = lossForward(
    p,
    {
      output: state.output,
      shape: outputShape,
      batch: x.batch,
      heads: 1,
      queries: x.positions,
      dim: dimOut,
      qLengths: plan.places.refs.qLengths,
      elements: plan.liveRows * dimOut,
      maskPadding: true,
      attention: {
        rows: x.batch * heads * x.positions,
        weights: state.attention.attended.written.weights,
        geometry: g,
        logsumexp: attending ?? logsumexp,
        answered: logsumexp,
        entropy,
      },
    },
    request.backward,
  )
  const gradients = multiHeadBackward(
    p,
    state,
    loss.gradOutput,
    loss.scalars,
    {
      x: gradientSet.has('x'),
      context: gradientSet.has('context'),
      mask: gradientSet.has('mask'),
      sinks: gradientSet.has('sinks'),
      relativeBias: gradientSet.has('relative_bias.table'),
      pastK: gradientSet.has('past_k'),
      pastV: gradientSet.has('past_v'),
      own: name => gradientSet.has(name),
      param: name => gradientSet.has(`params.${name}`),
    },
    undefined,
    loss.terms,
  )
  answerGradients(p, {
    x: [gradients.x, request.x],
    context: [gradients.context, request.context],
    mask: [gradients.mask, request.mask],
    sinks: [gradients.sinks, request.sinks],
    'relative_bias.table': [gradients.relativeBias, request.relative_bias?.table],
    past_k: [gradients.pastK, request.past_k],
    past_v: [gradients.pastV, request.past_v],
    ...ownGradients(own, gradients.own, name => gradientSet.has(name)),
  })
  answerParams(p, 'grads.', taken, ({ name }) => gradients.params[name as MultiHeadParamName])
}

function takeParams(params: Params, x: Sequence, source: Sequence, sizes: Sizes): MultiHeadParams {
  const { heads, kvHeads, dimK, dimV, dimOut } = sizes
  const refs: MultiHeadParams = {
    w_q: params.take('w_q', [x.dim, heads * dimK], 'weight'),
    w_k: params.take('w_k', [source.dim, kvHeads * dimK], 'weight'),
    w_v: params.take('w_v', [source.dim, kvHeads * dimV], 'weight'),
    b_q: params.maybe('b_q', [heads * dimK], 'bias'),
    b_k: params.maybe('b_k', [kvHeads * dimK], 'bias'),
    b_v: params.maybe('b_v', [kvHeads * dimV], 'bias'),
  }
  if (dimOut !== undefined) {
    refs.w_o = params.take('w_o', [heads * dimV, dimOut], 'weight')
    refs.b_o = params.maybe('b_o', [dimOut], 'bias')
  }
  return refs
}

/** Sizes are for drawn parameters: given ones say them themselves. */
export function refuseSizes(params: Params, request: Record<string, unknown>, names: string[]): void {
  const name = names.find(each => params.given && request[each] !== undefined)
  if (name === undefined) return
  throw fieldProblem(
    'INVALID_REQUEST',
    `/${name}`,
    'expected no size beside params (their shapes say it), got one',
  )
}
