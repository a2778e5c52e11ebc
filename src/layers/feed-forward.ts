/** The position-wise network of a transformer block, and below it its gradients, as steps. */

import type { Ref } from '../../workers/contract.ts'
import {
  type ActivationKind,
  activationBackward,
  activationForward,
} from '../../workers/ops/activation/op.ts'
import { dropoutRows } from '../../workers/ops/elementwise/op.ts'
import { seedWords } from './attention/plan.ts'
import { type LinearState, linearBackwardInput, linearBackwardParams, linearForward } from './linear.ts'
import type { ProgramBuilder } from './program-builder.ts'

export interface FeedForwardShape {
  batch: number
  positions: number
  dModel: number
  dHidden: number
  activation: ActivationKind
  /** the seed is seed + seedOffset */
  dropout: { p: number; seed: number; seedOffset: number }
}

export interface FeedForwardParams {
  w_1: Ref
  b_1?: Ref
  w_2: Ref
  b_2?: Ref
  w_gate?: Ref
}

export interface FeedForwardState {
  shape: FeedForwardShape
  up: LinearState
  gate?: LinearState
  down: LinearState
  output: Ref
}

/** y = dropout(f(x·w_1 + b_1))·w_2 + b_2 + residual; gated: g(x·w_gate) ⊙ (x·w_1 + b_1) in place of f. */
export function feedForwardForward(
  p: ProgramBuilder,
  shape: FeedForwardShape,
  x: Ref,
  params: FeedForwardParams,
  residual?: Ref,
): FeedForwardState {
  const { batch, positions, dModel, dHidden } = shape
  const plain = { batch, positions, headsIn: 1, headsOut: 1 }
  const inner = { ...plain, dimIn: dModel, dimOut: dHidden }
  const up = linearForward(p, { x, weight: params.w_1, bias: params.b_1 }, inner)
  const gate = params.w_gate === undefined ? undefined : linearForward(p, { x, weight: params.w_gate }, inner)
  p.stage(up.step, ...(gate === undefined ? [] : [gate.step]))

  const active = p.reals(hiddenCount(shape))
  p.stage(p.step(activationForward, { x: up.state.y, gate: gate?.state.y, y: active }, activationArgs(shape)))
  const hidden = dropout(p, shape, active)

  const outer = { ...plain, dimIn: dHidden, dimOut: dModel }
  const down = linearForward(p, { x: hidden, weight: params.w_2, bias: params.b_2, residual }, outer)
  p.stage(down.step)
  return { shape, up: up.state, gate: gate?.state, down: down.state, output: down.state.y }
}

export type FeedForwardGradients = { [name in keyof FeedForwardParams]?: Ref } & { x: Ref }

/** Differentiates feedForwardForward; `residual` is added to the gradient of x. */
export function feedForwardBackward(
  p: ProgramBuilder,
  { shape, up, gate, down }: FeedForwardState,
  gradY: Ref,
  wants: (name: keyof FeedForwardParams) => boolean,
  nonFinite: Ref | undefined,
  residual?: Ref,
): FeedForwardGradients {
  const back = linearBackwardInput(p, down, gradY)
  const downParams = linearBackwardParams(
    p,
    down,
    gradY,
    { weight: wants('w_2'), bias: wants('b_2') },
    nonFinite,
  )
  p.stage(back.step, ...downParams.steps)

  const gradActive = dropout(p, shape, back.gradX)
  const gradUp = p.reals(hiddenCount(shape))
  const gradGate = gate && p.reals(hiddenCount(shape))
  const tensors = { x: up.y, gate: gate?.y, gradY: gradActive, gradX: gradUp, gradGate }
  p.stage(p.step(activationBackward, tensors, activationArgs(shape)))

  const upParams = linearBackwardParams(
    p,
    up,
    gradUp,
    { weight: wants('w_1'), bias: wants('b_1') },
    nonFinite,
  )
  const fromUp = linearBackwardInput(p, up, gradUp, residual)
  p.stage(fromUp.step, ...upParams.steps)
  const grads = { w_1: upParams.weight, b_1: upParams.bias, w_2: downParams.weight, b_2: downParams.bias }
  if (gate === undefined || gradGate === undefined) return { ...grads, x: fromUp.gradX }

  const gateParams = linearBackwardParams(
    p,
    gate,
    gradGate,
    { weight: wants('w_gate'), bias: false },
    nonFinite,
  )
  const fromGate = linearBackwardInput(p, gate, gradGate, fromUp.gradX)
  p.stage(fromGate.step, ...gateParams.steps)
  return { ...grads, w_gate: gateParams.weight, x: fromGate.gradX }
}

/** Dropout of the hidden units; the same step is its own backward. */
function dropout(p: ProgramBuilder, shape: FeedForwardShape, x: Ref): Ref {
  if (shape.dropout.p === 0) return x
  const rows = shape.batch * shape.positions
  const y = p.reals(hiddenCount(shape))
  const { p: probability, seed, seedOffset } = shape.dropout
  const args = { rows, dim: shape.dHidden, p: probability, ...seedWords(seed, seedOffset) }
  p.stage(p.step(dropoutRows, { x, y }, args))
  return y
}

function activationArgs(shape: FeedForwardShape) {
  return { kind: shape.activation, count: hiddenCount(shape) }
}

function hiddenCount({ batch, positions, dHidden }: FeedForwardShape): number {
  return batch * positions * dHidden
}
