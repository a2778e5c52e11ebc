/** `POST /v1/attention` → a program. Everything that can be wrong between fields is found here. */

import { coreBackward, coreForward } from '../layers/attention/core.ts'
import type { AttentionRequest } from '../layers/attention/fields.ts'
import { pastInputs } from '../layers/attention/past.ts'
import { attentionSetup } from '../layers/attention/plan.ts'
import { askedOf, attentionAnswers } from '../layers/attention/results.ts'
import { attentionGeometry, type Geometry, inRank } from '../layers/geometry.ts'
import { maskGradient, Wanted } from '../layers/gradient-set.ts'
import { answerGradients } from '../layers/gradients.ts'
import { lossForward } from '../layers/loss.ts'
import type { RequestProgram } from '../layers/program-builder.ts'

export function compileAttention(p: RequestProgram, request: AttentionRequest): void {
  const fresh = attentionGeometry(request.q, request.k, request.v)
  const past = pastInputs(p, request, fresh)
  const g: Geometry = { ...fresh, keys: fresh.keys + past.length }
  const wanted = new Wanted(request.backward?.wrt, {
    ...{ q: true, k: true, v: true },
    mask: maskGradient(request.mask),
    ...past.wanted,
  })
  const setup = attentionSetup(p, request, g, past.length)
  const inputs = {
    q: p.input('/q', request.q),
    k: p.input('/k', request.k),
    v: p.input('/v', request.v),
    ...past.refs,
  }
  const state = coreForward(p, setup, inputs, askedOf(request))
  if (request.return.includes('output')) {
    p.output('output', state.attention.output, inRank(g, g.queries, g.dimV))
  }
  attentionAnswers(p, state, request.return, past.length > 0)
  if (request.backward === undefined) return

  const { batch, heads, queries, dimV: dim } = g
  const { output, logsumexp, entropy } = state.attention
  const subject = {
    ...{ output, shape: inRank(g, g.queries, g.dimV), batch, heads, queries, dim, qLengths: setup.qLengths },
    elements: setup.liveRows * heads * dim,
    attention: { rows: batch * heads * queries, logsumexp, entropy },
  }
  const loss = lossForward(p, subject, request.backward)
  const gradients = coreBackward(p, state, loss.gradOutput, loss.scalars, {
    q: wanted.has('q'),
    k: wanted.has('k'),
    v: wanted.has('v'),
    mask: wanted.has('mask'),
    pastK: wanted.has('past_k'),
    pastV: wanted.has('past_v'),
  })
  answerGradients(p, {
    q: [gradients.q, request.q],
    k: [gradients.k, request.k],
    v: [gradients.v, request.v],
    mask: [gradients.mask, request.mask],
    past_k: [gradients.pastK, request.past_k],
    past_v: [gradients.pastV, request.past_v],
  })
}
