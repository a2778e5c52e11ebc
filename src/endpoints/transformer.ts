/** `POST /v1/transformer` → a program that answers everything at once. */

import { askedOf, attentionAnswers } from '../layers/attention/results.ts'
import { maskGradient, Wanted } from '../layers/gradient-set.ts'
import { answerGradients, answerParams } from '../layers/gradients.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import { backwardLayer, beginBackward, beginForward, endForward, forwardLayer } from '../layers/stack.ts'
import type { TransformerRequest } from '../layers/stack-fields.ts'
import { compileStack, stackLoss } from '../layers/stack-request.ts'

export function compileTransformer(p: RequestProgram, request: TransformerRequest): void {
  const compiled = compileStack(p, request)
  const { x, input, setup, shape, params, taken, differentiable } = compiled
  const wanted = new Wanted(request.backward?.wrt, {
    x: true,
    mask: maskGradient(request.mask),
    ...differentiable,
  })
  const { entropy, maps = [] } = askedOf(request)
  const state = beginForward(p, setup, shape, input, params, { entropy, maps: () => maps })
  for (let layer = 0; layer < shape.layers; layer++) {
    const { attention } = forwardLayer(p, state, layer)
    attentionAnswers(p, attention.core, request.return, false, `layers.${layer}.`)
  }
  endForward(p, state)
  const outputShape = sequenceShape(x, x.positions, x.dim)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradients = beginBackward(p, state, loss.gradOutput, {
    scalars: loss.scalars,
    wants: name => wanted.has(`params.${name}`),
    wantMask: wanted.has('mask'),
  })
  for (let layer = shape.layers - 1; layer >= 0; layer--) backwardLayer(p, state, gradients, layer)
  answerGradients(p, {
    x: [wanted.has('x') ? gradients.grad : undefined, request.x],
    mask: [gradients.mask, request.mask],
  })
  answerParams(p, 'grads.', taken, ({ name }) => gradients.params.get(name))
}
