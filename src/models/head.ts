/** The last product with the vocabulary: rows → logits, and below it the gradients. */
import type { Ref } from '../../workers/contract.ts'
import {
  type ActivationKind,
  activationBackward,
  activationForward,
} from '../../workers/ops/activation/op.ts'
import { softcapScores } from '../../workers/ops/attention/op.ts'
import { combineElements } from '../../workers/ops/compare/op.ts'
import { add, columnSums } from '../../workers/ops/elementwise/op.ts'
import {
  linearBackwardWeight,
  linearBackwardInput as productOp,
  linearForward as sumOp,
} from '../../workers/ops/linear/op.ts'
import { capBackward } from '../../workers/ops/tokens/op.ts'
import {
  type LinearState,
  linearBackwardInput,
  linearBackwardParams,
  linearForward,
} from '../layers/linear.ts'
import { type NormState, normBackward, normForward } from '../layers/norm.ts'
import type { HeadSpec } from './family.ts'
import { addGradient, type ProgramWeights, type WeightGradients } from './program-weights.ts'

interface Dense {
  linear: LinearState
  kind: ActivationKind
  norm: NormState
}

export interface Logits {
  spec: HeadSpec
  rows: number
  dense?: Dense
  /** what the product reads [rows, d_model] */
  x: Ref
  /** [rows, vocabulary] */
  logits: Ref
}

/** logits = cap(dense(x)·factor·Wᵀ + bias) for rows of x. */
export function headForward(weights: ProgramWeights, spec: HeadSpec, input: Ref, rows: number): Logits {
  const { p, model } = weights
  const { dModel: dim, vocabulary } = model.plan.spec.sizes
  const dense = spec.dense && denseForward(weights, spec.dense, input, rows)
  const x = scaled(weights, dense?.norm.y ?? input, spec.factor)
  const args = { batch: 1, positions: rows, dimIn: vocabulary, dimOut: dim, headsIn: 1, headsOut: 1 }
  let logits = p.reals(rows * vocabulary)
  p.stage(p.step(productOp, { gradY: x, weight: weights.ref(spec.weight), gradX: logits }, args))
  const count = rows * vocabulary
  if (spec.bias) {
    const y = p.reals(count)
    p.stage(p.step(add, { a: logits, b: weights.ref('head.bias'), y }, { count, period: vocabulary }))
    logits = y
  }
  if (spec.softcap !== undefined) {
    const y = p.reals(count)
    p.stage(p.step(softcapScores, { x: logits, y }, { count, cap: spec.softcap }))
    logits = y
  }
  return { spec, rows, dense, x, logits }
}

/** The gradient of the rows; those of weights that `wants` names go to `found`. */
export function headBackward(
  weights: ProgramWeights,
  { spec, rows, dense, x, logits }: Logits,
  gradLogits: Ref,
  wants: (name: string) => boolean,
  found: WeightGradients,
): Ref {
  const { p, model } = weights
  const { dModel: dim, vocabulary } = model.plan.spec.sizes
  let gradient = gradLogits
  if (spec.softcap !== undefined) {
    const gradX = p.reals(rows * vocabulary)
    const args = { count: rows * vocabulary, cap: spec.softcap }
    p.stage(p.step(capBackward, { y: logits, gradY: gradient, gradX }, args))
    gradient = gradX
  }
  if (spec.bias && wants('head.bias')) {
    const y = p.reals(vocabulary)
    p.stage(
      p.step(columnSums, { x: gradient, y }, { batch: 1, heads: 1, positions: rows, width: vocabulary }),
    )
    addGradient(weights, found, 'head.bias', y)
  }
  const args = { batch: 1, positions: rows, dimIn: vocabulary, dimOut: dim, headsIn: 1, headsOut: 1 }
  if (wants(spec.weight)) {
    const gradWeight = p.reals(vocabulary * dim)
    p.stage(p.step(linearBackwardWeight, { x: gradient, gradY: x, gradWeight }, args))
    addGradient(weights, found, spec.weight, gradWeight)
  }
  const y = p.reals(rows * dim)
  p.stage(p.step(sumOp, { x: gradient, weight: weights.ref(spec.weight), y }, args))
  const gradX = scaled(weights, y, spec.factor)
  return dense === undefined ? gradX : denseBackward(weights, dense, gradX, wants, found)
}

function denseForward(
  weights: ProgramWeights,
  spec: NonNullable<HeadSpec['dense']>,
  x: Ref,
  rows: number,
): Dense {
  const { p, model } = weights
  const dim = model.plan.spec.sizes.dModel
  const args = { batch: 1, positions: rows, dimIn: dim, dimOut: dim, headsIn: 1, headsOut: 1 }
  const given = { x, weight: weights.ref('head.w_dense'), bias: weights.maybe('head.b_dense') }
  const linear = linearForward(p, given, args)
  p.stage(linear.step)
  const kind = spec.activation as ActivationKind
  const active = p.reals(rows * dim)
  p.stage(p.step(activationForward, { x: linear.state.y, y: active }, { kind, count: rows * dim }))
  const params = { gamma: weights.ref('head.norm.gamma'), beta: weights.maybe('head.norm.beta') }
  const norm = normForward(p, active, params, { rows, dim, kind: 'layer', eps: spec.eps })
  return { linear: linear.state, kind, norm }
}

function denseBackward(
  weights: ProgramWeights,
  { linear, kind, norm }: Dense,
  gradY: Ref,
  wants: (name: string) => boolean,
  found: WeightGradients,
): Ref {
  const { p } = weights
  const needs = { gamma: wants('head.norm.gamma'), beta: wants('head.norm.beta') }
  const back = normBackward(p, norm, gradY, needs)
  const count = p.buffers[linear.y].length
  const gradX = p.reals(count)
  p.stage(p.step(activationBackward, { x: linear.y, gradY: back.x, gradX }, { kind, count }))
  const asked = { weight: wants('head.w_dense'), bias: wants('head.b_dense') }
  const own = linearBackwardParams(p, linear, gradX, asked, p.nonFinite)
  const through = linearBackwardInput(p, linear, gradX)
  p.stage(through.step, ...own.steps)
  const gradients = {
    'head.norm.gamma': back.gamma,
    'head.norm.beta': back.beta,
    'head.w_dense': own.weight,
    'head.b_dense': own.bias,
  }
  for (const [name, gradient] of Object.entries(gradients)) {
    if (gradient !== undefined) addGradient(weights, found, name, gradient)
  }
  return through.gradX
}

function scaled({ p }: ProgramWeights, x: Ref, factor: number): Ref {
  if (factor === 1) return x
  const count = p.buffers[x].length
  const y = p.reals(count)
  p.stage(
    p.step(combineElements, { x, y }, { count, factor, share: 0, period: Math.max(1, count), stride: 1 }),
  )
  return y
}
