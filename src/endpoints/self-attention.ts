/** `POST /v1/self-attention`: attention of x with one head, between projections. */
import * as z from 'zod'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { compileInDialect } from '../layers/attention/dialects/compile.ts'
import { attentionOptions } from '../layers/attention/fields.ts'
import { pastFields } from '../layers/attention/stages/past.ts'
import { stateFields } from '../layers/attention/state.ts'
import { backwardField, ofWeights } from '../layers/loss.ts'
import { dimension, numerics, returns } from '../layers/numerics.ts'
import { initField, Params, paramsField } from '../layers/params.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceOf } from '../layers/sequence.ts'
import {
  gradsResult,
  layerGradientResults,
  layerResults,
  lossResult,
  paramsResult,
  tensor,
} from './answers.ts'
import { compileLayer, inputField, LAYER_RETURNS, refuseSizes, wrtField } from './attention-layer.ts'
import { defineEndpoint } from './endpoint.ts'

function request(tensors: TensorKinds) {
  return z
    .strictObject({
      x: inputField(tensors),
      params: paramsField(
        tensors,
        { w_q: '[d_model, d_k]', w_k: '[d_model, d_k]', w_v: '[d_model, d_v]' },
        { b_q: '[d_k]', b_k: '[d_k]', b_v: '[d_v]' },
      ),
      init: initField.optional(),
      d_k: dimension().optional().describe('beside init; default d_model'),
      d_v: dimension().optional().describe('beside init; default d_k'),
      ...pastFields(tensors),
      ...stateFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backwardField(
        tensors,
        wrtField(6, 'x'),
        'x, every parameter, a float mask, sinks, relative_bias.table and gates',
        ofWeights(tensors),
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'SelfAttentionRequest' })
}

type SelfAttentionRequest = z.output<ReturnType<typeof request>>

const SelfAttentionAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_v] in x’s rank'),
    ...layerResults,
    params: paramsResult,
    ...lossResult,
    grads: gradsResult({ x: 'x’s', ...layerGradientResults }, true),
  })
  .describe('Maps are [B, N, M], rows [B, N]: there is one head.')
  .meta({ id: 'SelfAttentionAnswer' })

export const selfAttention = defineEndpoint({
  path: '/v1/self-attention',
  name: 'selfAttention',
  summary: 'Self-attention of x with one head: projections, output, maps and gradients',
  request,
  answer: SelfAttentionAnswer,
  compile,
})

function compile(p: RequestProgram, request: SelfAttentionRequest): void {
  if (request.dialect === undefined) compileOurs(p, request)
  else compileInDialect(p, request, compileOurs)
}

function compileOurs(p: RequestProgram, request: SelfAttentionRequest): void {
  const params = new Params(p, request, '')
  const x = sequenceOf('/x', request.x)
  const dimK = params.extent('w_q', 1) ?? request.d_k ?? x.dim
  const dimV = params.extent('w_v', 1) ?? request.d_v ?? dimK
  refuseSizes(params, request, ['d_k', 'd_v'])
  compileLayer(p, request, params, x, { heads: 1, kvHeads: 1, dimK, dimV, headed: false })
}
