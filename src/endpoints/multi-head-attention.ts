/** `POST /v1/self-attention` and `POST /v1/multi-head-attention`: attention between projections, with one head or many. */
import * as z from 'zod'
import type { TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { ATTENTION_RETURNS, attentionOptions, PRESENT_RETURNS } from '../layers/attention/fields.ts'
import { planAttention } from '../layers/attention/plan.ts'
import { attentionAnswers, requestedResults } from '../layers/attention/results.ts'
import { pastFields, pastInputs } from '../layers/attention/stages/past.ts'
import { type Geometry, wrong } from '../layers/geometry.ts'
import { GradientSet, maskGradient } from '../layers/gradient-set.ts'
import { answerGradients, answerParams } from '../layers/gradients.ts'
import { backwardField, lossForward } from '../layers/loss.ts'
import {
  type MultiHeadParamName,
  type MultiHeadParams,
  multiHeadBackward,
  multiHeadForward,
} from '../layers/multi-head.ts'
import { dimension, heads, numerics, returns } from '../layers/numerics.ts'
import { initField, type ParamFields, Params, paramName, paramsField } from '../layers/params.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { contextOf, type Sequence, sequenceOf, sequenceShape } from '../layers/sequence.ts'
import { fieldProblem } from '../problem.ts'
import {
  approximation,
  attentionResults,
  exactError,
  gradsResult,
  lossResult,
  maskGradientResult,
  paramsResult,
  pastGradientResults,
  presentResults,
  tensor,
} from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

const x = (tensors: TensorKinds) =>
  tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch')

const LAYER_RETURNS = ['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS, 'params'] as const

const wrt = (...inputs: string[]) =>
  z.union([z.enum([...inputs, 'mask', 'past_k', 'past_v', 'params']), paramName])

function selfRequest(tensors: TensorKinds) {
  return z
    .strictObject({
      x: x(tensors),
      params: paramsField(
        tensors,
        { w_q: '[d_model, d_k]', w_k: '[d_model, d_k]', w_v: '[d_model, d_v]' },
        { b_q: '[d_k]', b_k: '[d_k]', b_v: '[d_v]' },
      ),
      init: initField.optional(),
      d_k: dimension().optional().describe('beside init; default d_model'),
      d_v: dimension().optional().describe('beside init; default d_k'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backwardField(tensors, wrt('x'), 'x, every parameter and a float mask').optional(),
      ...numerics,
    })
    .meta({ id: 'SelfAttentionRequest' })
}

type SelfRequest = z.output<ReturnType<typeof selfRequest>>

function multiHeadRequest(tensors: TensorKinds) {
  return z
    .strictObject({
      x: x(tensors),
      context: tensors.values
        .optional()
        .describe('[B, M, d_context]: where keys and values come from (cross-attention); default x'),
      heads: heads(),
      kv_heads: heads().optional().describe('heads of keys and values (GQA); divides heads; default heads'),
      params: paramsField(
        tensors,
        {
          w_q: '[d_model, heads·d_k]',
          w_k: '[d_context, kv_heads·d_k]',
          w_v: '[d_context, kv_heads·d_v]',
          w_o: '[heads·d_v, d_out]',
        },
        { b_q: '[heads·d_k]', b_k: '[kv_heads·d_k]', b_v: '[kv_heads·d_v]', b_o: '[d_out]' },
      ),
      init: initField.optional(),
      d_k: dimension().optional().describe('a head’s, beside init; default d_model/heads'),
      d_v: dimension().optional().describe('a head’s, beside init; default d_k'),
      d_out: dimension().optional().describe('beside init; default d_model'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backwardField(
        tensors,
        wrt('x', 'context'),
        'x, context, every parameter and a float mask',
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'MultiHeadAttentionRequest' })
}

type MultiHeadRequest = z.output<ReturnType<typeof multiHeadRequest>>

const SelfAttentionAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_v] in x’s rank'),
    ...attentionResults,
    ...presentResults,
    ...approximation,
    ...exactError,
    params: paramsResult,
    ...lossResult,
    grads: gradsResult({ x: 'x’s', ...maskGradientResult, ...pastGradientResults }, true),
  })
  .describe('Maps are [B, N, M], rows [B, N]: there is one head.')
  .meta({ id: 'SelfAttentionAnswer' })

const MultiHeadAttentionAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_out] in x’s rank'),
    ...attentionResults,
    ...presentResults,
    ...approximation,
    ...exactError,
    params: paramsResult,
    ...lossResult,
    grads: gradsResult(
      { x: 'x’s', context: 'the context’s', ...maskGradientResult, ...pastGradientResults },
      true,
    ),
  })
  .meta({ id: 'MultiHeadAttentionAnswer' })

export const selfAttention = defineEndpoint({
  path: '/v1/self-attention',
  name: 'selfAttention',
  summary: 'Self-attention of x with one head: projections, output, maps and gradients',
  request: selfRequest,
  answer: SelfAttentionAnswer,
  compile: compileSelf,
})

export const multiHeadAttention = defineEndpoint({
  path: '/v1/multi-head-attention',
  name: 'multiHeadAttention',
  summary: 'Multi-head self- or cross-attention: projections, output, maps of every head and gradients',
  request: multiHeadRequest,
  answer: MultiHeadAttentionAnswer,
  compile: compileMultiHead,
})

type AnyRequest = Omit<MultiHeadRequest, 'heads' | 'kv_heads' | 'd_out'> & {
  context?: TensorSource | undefined
}

/** What the two endpoints differ in. */
interface Sizes {
  heads: number
  kvHeads: number
  dimK: number
  dimV: number
  /** of the product with w_o; undefined without one */
  dimOut?: number
  /** whether maps have the axis heads */
  headed: boolean
}

function compileSelf(p: RequestProgram, request: SelfRequest): void {
  const params = new Params(p, request, '')
  const x = sequenceOf('/x', request.x)
  const dimK = params.extent('w_q', 1) ?? request.d_k ?? x.dim
  const dimV = params.extent('w_v', 1) ?? request.d_v ?? dimK
  refuseSizes(params, request, ['d_k', 'd_v'])
  compileLayer(p, request, params, x, { heads: 1, kvHeads: 1, dimK, dimV, headed: false })
}

function compileMultiHead(p: RequestProgram, request: MultiHeadRequest): void {
  const params = new Params(p, request, '')
  const x = sequenceOf('/x', request.x)
  const { heads, kv_heads: kvHeads = heads } = request
  if (heads % kvHeads !== 0) {
    throw fieldProblem(
      'INVALID_REQUEST',
      '/kv_heads',
      `expected a number that divides heads = ${heads}, got ${kvHeads}`,
    )
  }
  refuseSizes(params, request, ['d_k', 'd_v', 'd_out'])
  const dimK = share(params, request, 'w_q', heads) ?? request.d_k ?? modelShare(x.dim, heads)
  const dimV = share(params, request, 'w_v', kvHeads) ?? request.d_v ?? dimK
  const dimOut = params.extent('w_o', 1) ?? request.d_out ?? x.dim
  compileLayer(p, request, params, x, { heads, kvHeads, dimK, dimV, dimOut, headed: true })
}

function compileLayer(
  p: RequestProgram,
  request: AnyRequest,
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
  const past = pastInputs(p, request, fresh)
  const g = { ...fresh, keys: fresh.keys + past.length }
  const refs = takeParams(params, x, source, sizes)
  const gradientSet = new GradientSet(request.backward?.wrt, {
    x: true,
    context: context && true,
    mask: maskGradient(request.mask),
    ...past.differentiable,
    ...params.differentiable,
  })
  const plan = planAttention(p, request, g, past.length)
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
  attentionAnswers(p, state.attention, request.return, past.given)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const { logsumexp, entropy } = state.attention.attended
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
      attention: { rows: x.batch * heads * x.positions, logsumexp, entropy },
    },
    request.backward,
  )
  const gradients = multiHeadBackward(p, state, loss.gradOutput, loss.scalars, {
    x: gradientSet.has('x'),
    context: gradientSet.has('context'),
    mask: gradientSet.has('mask'),
    pastK: gradientSet.has('past_k'),
    pastV: gradientSet.has('past_v'),
    param: name => gradientSet.has(`params.${name}`),
  })
  answerGradients(p, {
    x: [gradients.x, request.x],
    context: [gradients.context, request.context],
    mask: [gradients.mask, request.mask],
    past_k: [gradients.pastK, request.past_k],
    past_v: [gradients.pastV, request.past_v],
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
function refuseSizes(params: Params, request: Record<string, unknown>, names: string[]): void {
  const name = names.find(each => params.given && request[each] !== undefined)
  if (name === undefined) return
  throw fieldProblem(
    'INVALID_REQUEST',
    `/${name}`,
    'expected no size beside params (their shapes say it), got one',
  )
}

/** A given weight's columns a head. */
function share(params: Params, request: ParamFields, name: string, heads: number): number | undefined {
  const columns = params.extent(name, 1)
  if (columns === undefined || columns % heads === 0) return columns && columns / heads
  const source = request.params?.[name] as TensorSource
  return wrong(`/params/${name}`, source, `expected a number of columns that ${heads} heads divide`)
}

function modelShare(dModel: number, heads: number): number {
  if (dModel % heads === 0) return dModel / heads
  throw fieldProblem(
    'INVALID_REQUEST',
    '/heads',
    `expected a number that divides d_model = ${dModel} (or d_k beside init), got ${heads}`,
  )
}
