/** `POST /v1/attention`: scaled dot-product attention over Q, K and V. Everything that can be wrong between fields is found here. */
import * as z from 'zod'
import type { Ref } from '../../workers/contract.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { compileInDialect } from '../layers/attention/dialects/compile.ts'
import { EmulatedProgram, emulateField, refuseBesideEmulate, STAGES } from '../layers/attention/emulation.ts'
import { ATTENTION_RETURNS, attentionOptions, PRESENT_RETURNS } from '../layers/attention/fields.ts'
import { HeadsFirst } from '../layers/attention/heads-first.ts'
import {
  attentionAnswers,
  attentionBackward,
  attentionForward,
  requestedResults,
} from '../layers/attention/index.ts'
import { answerJvp, jvpField, refuseJvp } from '../layers/attention/jvp.ts'
import { type Packed, readPacked, refuseBesidePacked } from '../layers/attention/packed.ts'
import { pairsOf } from '../layers/attention/packed-softmax.ts'
import { planAttention } from '../layers/attention/plan.ts'
import { NO_PAST, pastFields, pastInputs } from '../layers/attention/stages/past.ts'
import { pastOfState, stateFields } from '../layers/attention/state.ts'
import {
  OWN_NAMES,
  ownGradients,
  ownInputs,
  readsPositionsFirst,
} from '../layers/attention/variants/index.ts'
import { attentionGeometry, type Geometry, inRank } from '../layers/geometry.ts'
import { answerGradients, GradientSet, maskGradient } from '../layers/gradients.ts'
import { backwardField, type InOrder, lossForward, ofWeights } from '../layers/loss.ts'
import { nameList, numerics, returns } from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { fieldsProblem } from '../problem.ts'
import {
  errorNumber,
  gradsResult,
  layerGradientResults,
  layerResults,
  lossResult,
  tensor,
} from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

const WRT = ['q', 'k', 'v', 'mask', 'sinks', 'relative_bias.table', 'past_k', 'past_v', ...OWN_NAMES] as const

function request(tensors: TensorKinds) {
  return z
    .strictObject({
      q: tensors.values.describe(
        '[B, H, N, d_k], or [B, N, d_k] or [N, d_k] with one head (and one batch); `layout` and `cu_seqlens_q` say otherwise',
      ),
      k: tensors.values.describe('[B, H_kv, M, d_k] in q’s rank; H is a multiple of H_kv'),
      v: tensors.values.describe('[B, H_kv, M, d_v] in q’s rank'),
      layout: z
        .enum(['bhnd', 'bnhd'])
        .optional()
        .describe(
          'For rank 4: the order of the axes of q, k, v, the past, the output and their gradients. `bhnd` is the default; `bnhd` is ' +
            '[B, N, H, d], as flash-attn and JAX have it. Maps stay [B, H, N, M], rows [B, H, N].',
        ),
      cu_seqlens_q: tensors.whole
        .optional()
        .describe(
          'int32 [B + 1], B ≤ 65536: packed sequences, as flash-attn’s varlen has them. q is [T, H, d_k], and sequence s its positions ' +
            'cu_seqlens_q[s] to cu_seqlens_q[s + 1]; from 0, never falling, to T. k is [S, H_kv, d_k], v [S, H_kv, d_v]. Each sequence ' +
            'attends within itself: causal, window, alibi and rope count positions in it. Output [T, H, d_v], rows [H, T], maps ' +
            '[H, T, S] with weights of 0 and scores of −∞ between sequences. Not beside layout, mask, lengths or a past.',
        ),
      cu_seqlens_k: tensors.whole
        .optional()
        .describe('int32 [B + 1], from 0 to S: the same of the keys; default cu_seqlens_q'),
      ...pastFields(tensors),
      ...stateFields(tensors),
      ...attentionOptions(tensors),
      return: returns(['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS, 'state', 'error_budget']),
      backward: backwardField(
        tensors,
        nameList(z.enum(WRT), WRT.length),
        'q, k, v, a float mask, sinks, relative_bias.table and gates',
        ofWeights(tensors),
      ).optional(),
      jvp: jvpField(tensors).optional(),
      emulate: emulateField.optional(),
      ...numerics,
    })
    .meta({ id: 'AttentionRequest' })
}

type AttentionRequest = z.output<ReturnType<typeof request>>

const stageError = z.strictObject({ max_abs: errorNumber, rmse: errorNumber })

const AttentionAnswer = z
  .strictObject({
    output: tensor
      .optional()
      .describe('[B, H, N, d_v] in q’s rank and layout; zeros where a row attends to nothing'),
    ...layerResults,
    ...lossResult,
    jvp: z
      .strictObject({ output: tensor.optional(), weights: tensor.optional(), logsumexp: tensor.optional() })
      .optional()
      .describe('tangents of the results of the same names, in their shapes'),
    error_budget: z
      .strictObject(Object.fromEntries(STAGES.map(stage => [stage, stageError])))
      .optional()
      .describe(
        'of each stage of `emulate` by itself, the others exact: how far the output is from float64’s',
      ),
    grads: gradsResult({ q: 'q’s', k: 'k’s', v: 'v’s', ...layerGradientResults }, false),
  })
  .meta({ id: 'AttentionAnswer' })

export const attention = defineEndpoint({
  path: '/v1/attention',
  name: 'attention',
  summary: 'Scaled dot-product attention over Q, K, V: output, maps, gradients and tangents',
  request,
  answer: AttentionAnswer,
  programBeside: 'emulate',
  program: ({ emulate, non_finite }) => emulate && new EmulatedProgram(emulate, non_finite),
  compile,
})

function compile(p: RequestProgram, request: AttentionRequest): void {
  if (request.dialect === undefined) compileOurs(p, request)
  else compileInDialect(p, request, compileOurs)
}

function compileOurs(p: RequestProgram, request: AttentionRequest): void {
  refuseLayout(request)
  const emulated = p instanceof EmulatedProgram ? p : undefined
  if (request.emulate || request.return.includes('error_budget')) {
    refuseBesideEmulate(request, emulated !== undefined)
  }
  const isPacked = request.cu_seqlens_q !== undefined
  const fresh = attentionGeometry(request.q, request.k, request.v, isPacked ? 'packed' : request.layout)
  if (request.jvp !== undefined) refuseJvp(request.jvp, request)
  const packed = isPacked ? readPacked(p, request, fresh) : undefined
  const longest = packed?.longest.keys ?? fresh.keys
  const forward = request.backward === undefined
  const { attention_kind: kind, jvp } = request
  const { empty_rows: rows = 'zeros' } = request
  const unchanged = p.positionsFirst && jvp === undefined && rows === 'zeros'
  const inPlace = unchanged && readsPositionsFirst(kind, longest, !forward)
  const turned = request.layout === 'bnhd' ? new HeadsFirst(p, fresh.batch, false, inPlace) : undefined
  const headsFirst = packed === undefined ? turned : new HeadsFirst(p, packed.sequences, true, inPlace)
  const given = request.state && pastOfState(p, request, fresh)
  const none = request.past_k === undefined && request.past_v === undefined
  const past = given ?? (none ? NO_PAST : pastInputs(p, request, fresh, undefined, turned))
  const g: Geometry = { ...fresh, keys: fresh.keys + past.length }
  const own = ownInputs(request)
  const gradientSet = new GradientSet(request.backward?.wrt, {
    q: true,
    k: true,
    v: true,
    mask: maskGradient(request.mask),
    sinks: request.sinks && true,
    'relative_bias.table': request.relative_bias && true,
    ...past.differentiable,
    ...own.differentiable,
  })
  const plan = planAttention(p, request, g, past, undefined, { packed, headsFirst })
  const { batch, heads, kvHeads, queries, dimK, dimV: dim } = g
  const ofQ = packed?.rows.q ?? { heads, positions: queries }
  const ofK = { heads: kvHeads, positions: fresh.keys }
  const ofPast = { heads: kvHeads, positions: past.length }
  let q = p.input('/q', request.q)
  let k = p.input('/k', request.k)
  let v = p.input('/v', request.v)
  if (turned !== undefined) {
    q = turned.read(q, ofQ, dimK)
    k = turned.read(k, ofK, dimK)
    v = turned.read(v, ofK, dim)
  }
  const inputs = { q, k, v, ...past.refs }
  const state = attentionForward(p, plan, inputs, requestedResults(request))
  const { output, logsumexp, entropy, attending } = state.attended
  const shape = headsFirst?.shape(ofQ, dim) ?? inRank(g, queries, dim)
  if (request.return.includes('output')) {
    p.output('output', headsFirst?.write(output, ofQ, dim) ?? output, shape)
  }
  attentionAnswers(p, state, request.return, past.given && given === undefined)
  if (request.return.includes('error_budget')) emulated?.answerBudget(plan.places.refs.qLengths)
  if (request.jvp !== undefined) answerJvp(p, request.jvp, request.return, state, { ofQ, ofK })
  if (request.backward === undefined) return

  const subject = {
    output,
    shape,
    read: headsFirst && ((x: Ref) => headsFirst.read(x, ofQ, dim)),
    positionsFirst: headsFirst?.inPlace,
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
      answered: logsumexp,
      entropy,
      inOrder: packed && headsFirst && packedOrder(p, packed, headsFirst),
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
      own: name => gradientSet.has(name),
    },
    loss.terms,
  )
  if (turned !== undefined) {
    gradients.q &&= turned.write(gradients.q, ofQ, dimK)
    gradients.k &&= turned.write(gradients.k, ofK, dimK)
    gradients.v &&= turned.write(gradients.v, ofK, dim)
    gradients.pastK &&= turned.write(gradients.pastK, ofPast, dimK)
    gradients.pastV &&= turned.write(gradients.pastV, ofPast, dim)
  }
  answerGradients(p, {
    q: [gradients.q, request.q],
    k: [gradients.k, request.k],
    v: [gradients.v, request.v],
    mask: [gradients.mask, request.mask],
    sinks: [gradients.sinks, request.sinks],
    'relative_bias.table': [gradients.relativeBias, request.relative_bias?.table],
    past_k: [gradients.pastK, request.past_k],
    past_v: [gradients.pastV, request.past_v],
    ...ownGradients(own, gradients.own, name => gradientSet.has(name)),
  })
}

/** How a map and rows of the client come to those of packed sequences. */
function packedOrder(p: RequestProgram, packed: Packed, headsFirst: HeadsFirst): InOrder {
  const { cuQ, cuK, pairStarts } = packed.refs
  return {
    rows: x => headsFirst.readRows(x, packed.rows.q),
    pairs: x => pairsOf(p, packed, x),
    starts: { cuQ, cuK, pairStarts },
  }
}

export function refuseLayout(
  request: Pick<AttentionRequest, 'layout' | 'q' | 'cu_seqlens_q' | 'cu_seqlens_k'>,
): void {
  const { layout, q, cu_seqlens_q, cu_seqlens_k } = request
  if (cu_seqlens_q !== undefined || cu_seqlens_k !== undefined) refuseBesidePacked(request)
  if (layout === undefined || q.shape.length === 4) return
  const message = `expected q of rank 4 beside layout, got layout "${layout}" and q [${q.shape.join(', ')}]`
  throw fieldsProblem('INVALID_REQUEST', [
    { path: '/layout', message },
    { path: '/q', message },
  ])
}
