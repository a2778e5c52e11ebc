/** `POST /v1/attention` → a program. Everything that can be wrong between fields is found here. */
import type { AttentionArgs, Ref } from '../../workers/task.ts'
import { fieldProblem } from '../errors.ts'
import type { AttentionRequest } from '../schemas/attention.ts'
import type { TensorSource } from '../tensors/tensor-source.ts'
import { alibiSlopes } from './alibi.ts'
import { attendedArea } from './attended-area.ts'
import {
  type AttentionGradients,
  type AttentionState,
  attentionBackward,
  attentionForward,
  attentionMaps,
  type MapName,
  type Scores,
  type Wanted,
} from './attention.ts'
import { attentionGeometry, expectShape, type Geometry, inRank, maskLayout } from './geometry.ts'
import { readLengths } from './lengths.ts'
import { lossForward } from './loss.ts'
import { type Prepared, prepareBackward, prepareForward, type RopeOptions } from './positions.ts'
import { RequestProgram } from './request-program.ts'

const MAPS = {
  scores: 'scores',
  masked_scores: 'maskedScores',
  weights: 'weights',
  dropped_weights: 'droppedWeights',
} as const

export function compileAttention(request: AttentionRequest): RequestProgram {
  const g = attentionGeometry(request.q, request.k, request.v)
  const p = new RequestProgram(request.precision, request.non_finite)
  const wanted = wantedGradients(request)
  const qLengths = readLengths(request.q_lengths, '/q_lengths', g.batch, g.queries)
  const kvLengths = readLengths(request.kv_lengths, '/kv_lengths', g.batch, g.keys)

  const rope = ropeOptions(request, g)
  const norm = normOptions(request)
  const q = p.input('/q', request.q)
  const k = p.input('/k', request.k)
  const v = p.input('/v', request.v)
  const qRows = { heads: g.batch * g.heads, positions: g.queries, dim: g.dimK }
  const kRows = { heads: g.batch * g.kvHeads, positions: g.keys, dim: g.dimK }
  const qSide = prepareForward(p, q, qRows, norm, rope && { ...rope, offset: request.rope?.q_offset ?? 0 })
  const kSide = prepareForward(p, k, kRows, norm, rope && { ...rope, offset: request.rope?.k_offset ?? 0 })
  qSide.stages.forEach((stage, index) => {
    p.stage(...stage, ...kSide.stages[index])
  })

  const args = attentionArgs(request, g)
  const scores: Scores = {
    args,
    q: qSide.prepared.ready,
    k: kSide.prepared.ready,
    area: attendedArea(args, qLengths, kvLengths),
    careful: p.careful,
    qLengths: qLengths && p.buffer({ type: 'int32', length: g.batch, data: qLengths }),
    kvLengths: kvLengths && p.buffer({ type: 'int32', length: g.batch, data: kvLengths }),
    slopes: alibi(p, request, g),
  }
  if (request.mask !== undefined) {
    scores.maskLayout = maskLayout(g, request.mask, '/mask')
    scores.mask = p.inputMask('/mask', request.mask)
    args.maskKind = request.mask.dtype === 'bool' ? 'bool' : 'float'
    args.maskStrides = scores.maskLayout.strides
  }

  const wantEntropy = request.return.includes('entropy') || Boolean(request.backward?.entropy_weight)
  const state = attentionForward(p, scores, v, wantEntropy)
  answerForward(p, request, g, state)
  if (request.backward !== undefined) {
    const outputShape = inRank(g, g.queries, g.dimV)
    const { grad_output, target } = request.backward
    if (grad_output !== undefined) expectShape('/backward/grad_output', grad_output, outputShape)
    if (target !== undefined) expectShape('/backward/target', target, outputShape)
    const rows =
      qLengths === undefined ? g.batch * g.queries : qLengths.reduce((sum, length) => sum + length, 0)
    const loss = lossForward(p, state, request.backward, rows * g.heads * g.dimV)
    if (loss.scalars !== undefined) p.scalar('loss', loss.scalars, 0)
    const gradients = attentionBackward(p, state, loss.gradOutput, loss.scalars, wanted)
    answerBackward(p, request, gradients, qSide.prepared, kSide.prepared)
  }
  return p
}

function answerForward(
  p: RequestProgram,
  request: AttentionRequest,
  g: Geometry,
  state: AttentionState,
): void {
  const names = [...new Set(request.return)]
  const wantedMaps = names.filter(name => name in MAPS).map(name => MAPS[name as keyof typeof MAPS])
  const { maps, step } = attentionMaps(p, state, wantedMaps)
  if (wantedMaps.length > 0) p.stage(step)
  for (const name of names) {
    if (name === 'output') p.output(name, state.output, inRank(g, g.queries, g.dimV))
    else if (name === 'logsumexp') p.output(name, state.logsumexp, inRank(g, g.queries))
    else if (name === 'entropy') p.output(name, state.entropy as Ref, inRank(g, g.queries))
    else p.output(name, maps[MAPS[name] as MapName] as Ref, inRank(g, g.queries, g.keys))
  }
}

function answerBackward(
  p: RequestProgram,
  request: AttentionRequest,
  gradients: AttentionGradients,
  qSide: Prepared,
  kSide: Prepared,
): void {
  const q = gradients.q === undefined ? undefined : prepareBackward(p, qSide, gradients.q)
  const k = gradients.k === undefined ? undefined : prepareBackward(p, kSide, gradients.k)
  for (const stage of [0, 1]) p.stage(...(q?.stages[stage] ?? []), ...(k?.stages[stage] ?? []))
  if (q !== undefined) p.output('grads.q', q.grad, request.q.shape)
  if (k !== undefined) p.output('grads.k', k.grad, request.k.shape)
  if (gradients.v !== undefined) p.output('grads.v', gradients.v, request.v.shape)
  if (gradients.mask !== undefined)
    p.output('grads.mask', gradients.mask, (request.mask as TensorSource).shape)
}

function wantedGradients(request: AttentionRequest): Wanted {
  const floatMask = request.mask !== undefined && request.mask.dtype !== 'bool'
  const wrt = request.backward?.wrt
  const asked = wrt?.indexOf('mask') ?? -1
  if (asked >= 0 && !floatMask) {
    const got = request.mask === undefined ? 'no mask' : 'a bool mask, which has no gradient'
    throw fieldProblem(
      'INVALID_REQUEST',
      `/backward/wrt/${asked}`,
      `expected a float mask in the request, got ${got}`,
    )
  }
  const wants = (name: 'q' | 'k' | 'v' | 'mask') => wrt === undefined || wrt.includes(name)
  return { q: wants('q'), k: wants('k'), v: wants('v'), mask: floatMask && wants('mask') }
}

function attentionArgs(request: AttentionRequest, g: Geometry): AttentionArgs {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = g
  const seed = request.dropout?.seed ?? 0
  return {
    ...{ batch, heads, kvHeads, queries, keys, dimK, dimV },
    scale: request.scale ?? 1 / Math.sqrt(dimK),
    softcap: request.softcap ?? 0,
    alignment: request.causal === 'bottom_right' ? 'bottom_right' : 'top_left',
    pastKeys: 0,
    causal: request.causal !== false,
    windowLeft: request.window?.left ?? -1,
    windowRight: request.window?.right ?? -1,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    dropoutP: request.dropout?.p ?? 0,
    seedLow: seed % 2 ** 32,
    seedHigh: Math.floor(seed / 2 ** 32),
    careful: false,
  }
}

function alibi(p: RequestProgram, request: AttentionRequest, g: Geometry): Ref | undefined {
  if (request.alibi === undefined || request.alibi === false) return undefined
  if (request.alibi === true) return p.reals(g.heads, alibiSlopes(g.heads))
  expectShape('/alibi', request.alibi, [g.heads])
  return p.input('/alibi', request.alibi)
}

function ropeOptions(request: AttentionRequest, g: Geometry): Omit<RopeOptions, 'offset'> | undefined {
  if (request.rope === undefined) return undefined
  const { base, interleaved, dims = g.dimK } = request.rope
  if (dims % 2 !== 0 || dims > g.dimK) {
    const message = `expected an even number of at most d_k = ${g.dimK}, got ${dims}`
    throw fieldProblem(
      'INVALID_REQUEST',
      '/rope/dims',
      request.rope.dims ? message : `${message} (the default)`,
    )
  }
  return { base, interleaved, dims }
}

function normOptions(request: AttentionRequest) {
  if (request.qk_norm === undefined) return undefined
  return request.qk_norm === 'l2' ? { kind: 'l2' as const, eps: 1e-12 } : request.qk_norm
}
