/** `POST /v1/multi-head-attention`: self- or cross-attention with many heads, between projections. */
import * as z from 'zod'
import type { TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { compileInDialect } from '../layers/attention/dialects/compile.ts'
import { attentionOptions } from '../layers/attention/fields.ts'
import { pastFields } from '../layers/attention/stages/past.ts'
import { stateFields } from '../layers/attention/state.ts'
import { wrong } from '../layers/geometry.ts'
import { backwardField, ofWeights } from '../layers/loss.ts'
import { dimension, heads, numerics, returns } from '../layers/numerics.ts'
import { initField, type ParamFields, Params, paramsField } from '../layers/params.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceOf } from '../layers/sequence.ts'
import { fieldProblem } from '../problem.ts'
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
      ...stateFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backwardField(
        tensors,
        wrtField(8, 'x', 'context'),
        'x, context, every parameter, a float mask, sinks, relative_bias.table and gates',
        ofWeights(tensors),
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'MultiHeadAttentionRequest' })
}

type MultiHeadAttentionRequest = z.output<ReturnType<typeof request>>

const MultiHeadAttentionAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_out] in x’s rank'),
    ...layerResults,
    params: paramsResult,
    ...lossResult,
    grads: gradsResult({ x: 'x’s', context: 'the context’s', ...layerGradientResults }, true),
  })
  .meta({ id: 'MultiHeadAttentionAnswer' })

export const multiHeadAttention = defineEndpoint({
  path: '/v1/multi-head-attention',
  name: 'multiHeadAttention',
  summary: 'Multi-head self- or cross-attention: projections, output, maps of every head and gradients',
  request,
  answer: MultiHeadAttentionAnswer,
  compile,
})

function compile(p: RequestProgram, request: MultiHeadAttentionRequest): void {
  if (request.dialect === undefined) compileOurs(p, request)
  else compileInDialect(p, request, compileOurs)
}

function compileOurs(p: RequestProgram, request: MultiHeadAttentionRequest): void {
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
