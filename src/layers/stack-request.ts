/** A request's `stack`, its input and options → what `stack.ts` runs. Shared by the resource and the stream. */
import type { Step } from '../../workers/contract.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { fieldProblem } from '../problem.ts'
import type { RelativeBiasOptions } from './attention/relative-bias.ts'
import type { AttentionPlan } from './attention/stages/stage.ts'
import { attentionKind } from './attention/variants/index.ts'
import type { BlockParams, BlockShape } from './block.ts'
import type { Geometry } from './geometry.ts'
import type { Param } from './gradients.ts'
import { type Loss, type LossOptions, lossForward } from './loss.ts'
import { Params } from './params.ts'
import type { RequestProgram } from './program-builder.ts'
import { contextOf, type Given, type Sequence, sequenceOf, sequenceShape } from './sequence.ts'
import type { StackInputs, StackParams, StackShape, StackState } from './stack.ts'
import type { StackRequest } from './stack-fields.ts'
import { blockParams, hasGains, headSizes, normParams } from './stack-params.ts'
import { type StackPast, stackPast } from './stack-past.ts'
import {
  type BesideStack,
  crossPlan,
  layerPlans,
  normOfGains,
  refuseSinks,
  relativeBiasOf,
  type Unpadded,
} from './stack-plans.ts'
import { carriedState } from './stack-state.ts'

/** The fields of a request that say what a stack computes. */
export interface StackFields extends BesideStack {
  relative_bias?: (RelativeBiasOptions & { table: TensorSource }) | undefined
  stack: StackRequest
  x: Given
  /** norms that are the identity, by name: `layers.0.norm1` */
  identities?: readonly string[] | undefined
  checkpoint: boolean
  context?: TensorSource | undefined
  context_lengths?: TensorSource | undefined
  past?: Record<string, Given> | undefined
  state?: Record<string, TensorSource> | undefined
  /** what is added to the dropout's seed for the first part */
  seedFrom?: number
}

export interface CompiledStack {
  x: Sequence
  inputs: StackInputs
  past: Pick<StackPast, 'layers'>
  /** positions up to the end of x, those of a past or state counted */
  positions: number
  plan: AttentionPlan
  shape: StackShape
  params: StackParams
  /** every parameter by its full name */
  taken: Param[]
  differentiable: Params['differentiable']
}

/** Pauses behind each layer. `source`: what every layer attends to beside x. */
export function* compileStack(
  p: RequestProgram,
  request: StackFields,
  source = contextOfStack(request),
): Generator<void, CompiledStack> {
  const { stack } = request
  const x = sequenceOf('/x', request.x)
  if (stack.d_model !== undefined && stack.d_model !== x.dim) {
    throw fieldProblem(
      'SHAPE_MISMATCH',
      '/stack/d_model',
      `expected x's last extent ${x.dim}, got ${stack.d_model}`,
    )
  }
  const kind = attentionKind(request.attention_kind)
  const params = new Params(p, stack, '/stack')
  const sizes = headSizes(params, stack, x.dim)
  const context = source?.sequence
  const dHidden = params.extent('layers.0.ffn.w_1', 1) ?? stack.d_ff ?? 4 * x.dim
  if (stack.d_ff !== undefined && stack.d_ff !== dHidden) {
    throw fieldProblem(
      'SHAPE_MISMATCH',
      '/stack/d_ff',
      `expected w_1's columns ${dHidden}, got ${stack.d_ff}`,
    )
  }
  const widths = { dModel: x.dim, dHidden, dContext: context?.dim, identities: request.identities }
  const draws: Step[][] = []
  const blocks: BlockParams[] = []
  for (let layer = 0; layer < stack.layers; layer++) {
    blocks.push(blockParams(params, stack, layer, widths, sizes))
    draws.push(params.draws())
    yield
  }
  const finalNorm = params.has('final_norm.gamma')
    ? normParams(params, stack, 'final_norm', x.dim)
    : undefined
  const relativeBias = relativeBiasOf(params, stack, request.relative_bias, sizes.heads)
  p.stage(...params.draws())
  const taken = params.finish()
  refuseSinks(taken, request.attention_kind)
  const fresh: Geometry = {
    batched: x.batched,
    headed: true,
    batch: x.batch,
    queries: x.positions,
    keys: x.positions,
    ...sizes,
  }
  const { state } = request
  const carried = state && carriedState(p, { ...request, state }, kind, fresh)
  const past = carried ?? stackPast(p, request, fresh)
  const position = carried?.position ?? 0
  const from = carried?.position ?? past.length
  const geometry = { ...fresh, keys: fresh.keys + past.length }
  const { stack: _stack, x: _x, checkpoint: _checkpoint, context_lengths: _lengths, ...fields } = request
  const beside = { ...fields, relative_bias: relativeBias }
  const optionsOf = (attention: string) => {
    if (!hasGains(params, attention)) return beside
    return { ...beside, qk_norm: normOfGains(beside.qk_norm, attention) }
  }
  const plans = yield* layerPlans(p, stack, optionsOf('attention'), geometry, past, position)
  const [plan] = plans
  const cross = context && {
    dContext: context.dim,
    plan: crossPlan(p, stack, optionsOf('cross_attention'), { ...geometry, keys: context.positions }, source),
  }
  const shape = stackShape(request, x, plans, cross, dHidden, from)
  const inputs = {
    x: 'ref' in request.x ? request.x.ref : p.input('/x', request.x),
    context: request.context && p.input('/context', request.context),
    past: past.layers,
  }
  return {
    x,
    inputs,
    past,
    positions: from + x.positions,
    plan,
    shape,
    params: { blocks, draws, finalNorm },
    taken,
    differentiable: Object.assign(params.differentiable, past.differentiable),
  }
}

/** A context, and what of it is no padding. */
interface Source extends Unpadded {
  sequence: Sequence
}

function contextOfStack({ x, context, context_lengths: lengths }: StackFields): Source | undefined {
  if (context !== undefined) return { sequence: contextOf(context, sequenceOf('/x', x)), lengths }
  if (lengths === undefined) return undefined
  throw fieldProblem(
    'INVALID_REQUEST',
    '/context_lengths',
    'expected context beside context_lengths, got none',
  )
}

/** The loss of a stack's output, with the entropies of every layer, and what it leaves for the backward pass. */
export function stackLoss(
  p: RequestProgram,
  { x, plan }: CompiledStack,
  { output, rows }: StackState,
  backward: LossOptions,
): Loss {
  const { batch, positions: queries, dim } = x
  const subject = {
    output,
    shape: sequenceShape(x, queries, dim),
    batch,
    heads: 1,
    queries,
    dim,
    qLengths: plan.places.refs.qLengths,
    elements: plan.liveRows * dim,
    maskPadding: true,
    attention: { rows: p.buffers[rows.logsumexp].length, ...rows },
  }
  return lossForward(p, subject, backward)
}

function stackShape(
  { stack, dropout, checkpoint, seedFrom = 0 }: StackFields,
  x: Sequence,
  plans: AttentionPlan[],
  cross: BlockShape['cross'],
  dHidden: number,
  from: number,
): StackShape {
  const { batch, positions, dim: dModel } = x
  const normArgs = { rows: batch * positions, dim: dModel, kind: stack.norm_kind, eps: stack.norm_eps }
  const seed = dropout?.seed ?? 0
  const parts = cross === undefined ? 2 : 3
  return {
    layers: stack.layers,
    attentions: cross === undefined ? 1 : 2,
    geometry: plans[0].geometry,
    sinusoidal:
      stack.position === 'sinusoidal' ? { positions, dim: dModel, offset: from, base: 10000 } : undefined,
    elements: batch * positions * dModel,
    normArgs,
    checkpoint,
    block: layer => ({
      plan: plans[layer],
      cross,
      seedOffset: seedFrom + parts * layer,
      norm: stack.norm,
      normArgs,
      dModel,
      ffn: {
        batch,
        positions,
        dModel,
        dHidden,
        activation: stack.activation,
        dropout: { p: dropout?.p ?? 0, seed, seedOffset: seedFrom + parts * (layer + 1) - 1 },
      },
    }),
  }
}
