/** `POST /v1/attention`: scaled dot-product attention over Q, K and V. Everything that can be wrong between fields is found here. */
import * as z from 'zod'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { ATTENTION_RETURNS, attentionOptions, PRESENT_RETURNS } from '../layers/attention/fields.ts'
import {
  attentionAnswers,
  attentionBackward,
  attentionForward,
  requestedResults,
} from '../layers/attention/index.ts'
import { planAttention } from '../layers/attention/plan.ts'
import { pastFields, pastInputs } from '../layers/attention/stages/past.ts'
import { attentionGeometry, type Geometry, inRank } from '../layers/geometry.ts'
import { answerGradients, GradientSet, maskGradient } from '../layers/gradients.ts'
import { backwardField, lossForward, ofWeights } from '../layers/loss.ts'
import { nameList, numerics, returns } from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { gradsResult, layerGradientResults, layerResults, lossResult, tensor } from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

const ATTENTION_INPUTS = ['q', 'k', 'v', 'mask', 'sinks', 'relative_bias.table', 'past_k', 'past_v'] as const

function request(tensors: TensorKinds) {
  return z
    .strictObject({
      q: tensors.values.describe('[B, H, N, d_k], or [B, N, d_k] or [N, d_k] with one head (and one batch)'),
      k: tensors.values.describe('[B, H_kv, M, d_k] in q’s rank; H is a multiple of H_kv'),
      v: tensors.values.describe('[B, H_kv, M, d_v] in q’s rank'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS]),
      backward: backwardField(
        tensors,
        nameList(z.enum(ATTENTION_INPUTS), ATTENTION_INPUTS.length),
        'q, k, v, a float mask, sinks and relative_bias.table',
        ofWeights(tensors),
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'AttentionRequest' })
}

type AttentionRequest = z.output<ReturnType<typeof request>>

const AttentionAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, H, N, d_v] in q’s rank; zeros where a row attends to nothing'),
    ...layerResults,
    ...lossResult,
    grads: gradsResult({ q: 'q’s', k: 'k’s', v: 'v’s', ...layerGradientResults }, false),
  })
  .meta({ id: 'AttentionAnswer' })

export const attention = defineEndpoint({
  path: '/v1/attention',
  name: 'attention',
  summary: 'Scaled dot-product attention over Q, K, V: output, maps and gradients',
  request,
  answer: AttentionAnswer,
  compile,
})

function compile(p: RequestProgram, request: AttentionRequest): void {
  const fresh = attentionGeometry(request.q, request.k, request.v)
  const past = pastInputs(p, request, fresh)
  const g: Geometry = { ...fresh, keys: fresh.keys + past.length }
  const gradientSet = new GradientSet(request.backward?.wrt, {
    q: true,
    k: true,
    v: true,
    mask: maskGradient(request.mask),
    sinks: request.sinks && true,
    'relative_bias.table': request.relative_bias && true,
    ...past.differentiable,
  })
  const plan = planAttention(p, request, g, past)
  const inputs = {
    q: p.input('/q', request.q),
    k: p.input('/k', request.k),
    v: p.input('/v', request.v),
    ...past.refs,
  }
  const state = attentionForward(p, plan, inputs, requestedResults(request))
  const { output, logsumexp, entropy, attending } = state.attended
  const shape = inRank(g, g.queries, g.dimV)
  if (request.return.includes('output')) p.output('output', output, shape)
  attentionAnswers(p, state, request.return, past.given)
  if (request.backward === undefined) return

  const { batch, heads, queries, dimV: dim } = g
  const subject = {
    output,
    shape,
    batch,
    heads,
    queries,
    dim,
    qLengths: plan.places.refs.qLengths,
    elements: plan.liveRows * heads * dim,
    attention: {
      rows: batch * heads * queries,
      weights: state.attended.written.weights,
      geometry: g,
      logsumexp: attending ?? logsumexp,
      entropy,
    },
  }
  const loss = lossForward(p, subject, request.backward)
  const gradients = attentionBackward(
    p,
    state,
    loss.gradOutput,
    loss.scalars,
    {
      q: gradientSet.has('q'),
      k: gradientSet.has('k'),
      v: gradientSet.has('v'),
      mask: gradientSet.has('mask'),
      sinks: gradientSet.has('sinks'),
      relativeBias: gradientSet.has('relative_bias.table'),
      pastK: gradientSet.has('past_k'),
      pastV: gradientSet.has('past_v'),
    },
    loss.terms,
  )
  answerGradients(p, {
    q: [gradients.q, request.q],
    k: [gradients.k, request.k],
    v: [gradients.v, request.v],
    mask: [gradients.mask, request.mask],
    sinks: [gradients.sinks, request.sinks],
    'relative_bias.table': [gradients.relativeBias, request.relative_bias?.table],
    past_k: [gradients.pastK, request.past_k],
    past_v: [gradients.pastV, request.past_v],
  })
}
