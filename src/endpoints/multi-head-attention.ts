/** `POST /v1/self-attention` and `POST /v1/multi-head-attention` → programs. */

import type { TensorSource } from '../formats/tensor.ts'
import { pastInputs } from '../layers/attention/past.ts'
import { attentionSetup } from '../layers/attention/plan.ts'
import { askedOf, attentionAnswers } from '../layers/attention/results.ts'
import { type Geometry, wrong } from '../layers/geometry.ts'
import { maskGradient, Wanted } from '../layers/gradient-set.ts'
import { answerGradients, answerParams } from '../layers/gradients.ts'
import { lossForward } from '../layers/loss.ts'
import {
  type MultiHeadParamName,
  type MultiHeadParams,
  multiHeadBackward,
  multiHeadForward,
} from '../layers/multi-head.ts'
import { type ParamFields, Params } from '../layers/params.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { contextOf, type Sequence, sequenceOf, sequenceShape } from '../layers/sequence.ts'
import { fieldProblem } from '../problem.ts'
import type { MultiHeadAttentionRequest, SelfAttentionRequest } from './layer-fields.ts'

type AnyRequest = Omit<MultiHeadAttentionRequest, 'heads' | 'kv_heads' | 'd_out'> & {
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

export function compileSelfAttention(p: RequestProgram, request: SelfAttentionRequest): void {
  const params = new Params(p, request, '')
  const x = sequenceOf('/x', request.x)
  const dimK = params.extent('w_q', 1) ?? request.d_k ?? x.dim
  const dimV = params.extent('w_v', 1) ?? request.d_v ?? dimK
  refuseSizes(params, request, ['d_k', 'd_v'])
  compileLayer(p, request, params, x, { heads: 1, kvHeads: 1, dimK, dimV, headed: false })
}

export function compileMultiHeadAttention(p: RequestProgram, request: MultiHeadAttentionRequest): void {
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
    ...{ batched: x.batched, headed, batch: x.batch, heads, kvHeads },
    ...{ queries: x.positions, keys: source.positions, dimK, dimV },
  }
  const past = pastInputs(p, request, fresh)
  const g = { ...fresh, keys: fresh.keys + past.length }
  const refs = takeParams(params, x, source, sizes)
  const wanted = new Wanted(request.backward?.wrt, {
    x: true,
    context: context && true,
    mask: maskGradient(request.mask),
    ...past.wanted,
    ...params.differentiable,
  })
  const setup = attentionSetup(p, request, g, past.length)
  const inputs = {
    x: p.input('/x', request.x),
    context: request.context && p.input('/context', request.context),
    ...past.refs,
  }
  const dimOut = sizes.dimOut ?? dimV
  const shape = { dModel: x.dim, dContext: source.dim, dOut: dimOut }
  const taken = params.finish()
  p.stage(...params.draws())
  const state = multiHeadForward(p, setup, shape, inputs, refs, askedOf(request))
  const outputShape = sequenceShape(x, x.positions, dimOut)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  attentionAnswers(p, state.core, request.return, past.length > 0)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const { logsumexp, entropy } = state.core.attention
  const loss = lossForward(
    p,
    {
      ...{
        output: state.output,
        shape: outputShape,
        batch: x.batch,
        heads: 1,
        queries: x.positions,
        dim: dimOut,
      },
      ...{ qLengths: setup.qLengths, elements: setup.liveRows * dimOut },
      maskPadding: true,
      attention: { rows: x.batch * heads * x.positions, logsumexp, entropy },
    },
    request.backward,
  )
  const gradients = multiHeadBackward(p, state, loss.gradOutput, loss.scalars, {
    x: wanted.has('x'),
    context: wanted.has('context'),
    mask: wanted.has('mask'),
    pastK: wanted.has('past_k'),
    pastV: wanted.has('past_v'),
    param: name => wanted.has(`params.${name}`),
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
