/** `POST /v1/transformer` → a program that answers everything at once. */

import { askedOf, attentionAnswers } from '../layers/attention/results.ts'
import { maskGradient, Wanted } from '../layers/gradient-set.ts'
import { answerGradients, answerParams } from '../layers/gradients.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import { stackBackward, stackForward } from '../layers/stack.ts'
import type { TransformerRequest } from '../layers/stack-fields.ts'
import { compileStack, stackLoss } from '../layers/stack-request.ts'

export function compileTransformer(request: TransformerRequest): RequestProgram {
  const p = new RequestProgram(request.precision, request.non_finite)
  const compiled = compileStack(p, request)
  const { x, input, setup, shape, params, taken, differentiable } = compiled
  const wanted = new Wanted(request.backward?.wrt, {
    x: true,
    mask: maskGradient(request.mask),
    ...differentiable,
  })
  const { entropy, maps = [] } = askedOf(request)
  const state = stackForward(
    p,
    setup,
    shape,
    input,
    params,
    { entropy, maps: () => maps },
    {
      forward: (layer, { attention }) => {
        attentionAnswers(p, attention.core, request.return, false, `layers.${layer}.`)
      },
    },
  )
  const outputShape = sequenceShape(x, x.positions, x.dim)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return p

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradients = stackBackward(
    p,
    state,
    loss.gradOutput,
    loss.scalars,
    name => wanted.has(`params.${name}`),
    wanted.has('mask'),
  )
  answerGradients(p, {
    x: [wanted.has('x') ? gradients.x : undefined, request.x],
    mask: [gradients.mask, request.mask],
  })
  answerParams(p, 'grads.', taken, ({ name }) => gradients.params.get(name))
  return p
}
