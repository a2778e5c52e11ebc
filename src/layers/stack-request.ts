/** A request's `stack`, its input and options → what `stack.ts` runs. Shared by the resource and the stream. */
import type { Ref, Step } from '../../workers/contract.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { fieldProblem } from '../problem.ts'
import { type AttentionOptions, planAttention } from './attention/plan.ts'
import { NO_PAST } from './attention/stages/past.ts'
import type { AttentionPlan } from './attention/stages/stage.ts'
import { attentionKind } from './attention/variants/index.ts'
import type { BlockParams, NormParams } from './block.ts'
import type { Geometry } from './geometry.ts'
import type { Param } from './gradients.ts'
import { type Loss, type LossOptions, lossForward } from './loss.ts'
import { Params } from './params.ts'
import type { RequestProgram } from './program-builder.ts'
import { type Sequence, sequenceOf, sequenceShape } from './sequence.ts'
import type { StackParams, StackShape, StackState } from './stack.ts'
import type { StackRequest } from './stack-fields.ts'

/** The fields of a request that say what a stack computes. */
export interface StackFields extends Omit<AttentionOptions, 'causal' | 'rope' | 'alibi'> {
  stack: StackRequest
  x: TensorSource
  checkpoint: boolean
}

export interface CompiledStack {
  x: Sequence
  input: Ref
  plan: AttentionPlan
  shape: StackShape
  params: StackParams
  /** every parameter by its full name */
  taken: Param[]
  differentiable: Params['differentiable']
}

/** Pauses behind each layer. */
export function* compileStack(p: RequestProgram, request: StackFields): Generator<void, CompiledStack> {
  const { stack } = request
  const x = sequenceOf('/x', request.x)
  if (stack.d_model !== undefined && stack.d_model !== x.dim) {
    throw fieldProblem(
      'SHAPE_MISMATCH',
      '/stack/d_model',
      `expected x's last extent ${x.dim}, got ${stack.d_model}`,
    )
  }
  const params = new Params(p, stack, '/stack')
  const sizes = headSizes(params, stack, x.dim)
  const dHidden = params.extent('layers.0.ffn.w_1', 1) ?? stack.d_ff ?? 4 * x.dim
  if (stack.d_ff !== undefined && stack.d_ff !== dHidden) {
    throw fieldProblem(
      'SHAPE_MISMATCH',
      '/stack/d_ff',
      `expected w_1's columns ${dHidden}, got ${stack.d_ff}`,
    )
  }
  const draws: Step[][] = []
  const blocks: BlockParams[] = []
  for (let layer = 0; layer < stack.layers; layer++) {
    blocks.push(blockParams(params, stack, layer, x.dim, dHidden, sizes))
    draws.push(params.draws())
    yield
  }
  const finalNorm =
    stack.norm === 'pre' && params.has('final_norm.gamma')
      ? normParams(params, stack, 'final_norm', x.dim)
      : undefined
  const taken = params.finish()
  const geometry: Geometry = {
    batched: x.batched,
    headed: true,
    batch: x.batch,
    queries: x.positions,
    keys: x.positions,
    ...sizes,
  }
  const pointers = { alibi: '/stack/position', rope: '/stack/rope', causal: '/stack/causal' }
  const plan = planAttention(p, attentionOptions(request), geometry, NO_PAST, pointers)
  const shape = stackShape(request, x, dHidden)
  const input = p.input('/x', request.x)
  return {
    x,
    input,
    plan,
    shape,
    params: { blocks, draws, finalNorm },
    taken,
    differentiable: params.differentiable,
  }
}

/** The loss of a stack's output, with the entropies of every layer, and what it leaves for the backward pass. */
export function stackLoss(
  p: RequestProgram,
  { x, plan }: CompiledStack,
  { output, shape, rows }: StackState,
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
    attention: {
      rows: shape.layers * batch * plan.geometry.heads * queries,
      logsumexp: rows.attending ?? rows.logsumexp,
      entropy: rows.entropy,
    },
  }
  return lossForward(p, subject, backward)
}

type HeadSizes = Pick<Geometry, 'heads' | 'kvHeads' | 'dimK' | 'dimV'>

function headSizes(params: Params, stack: StackRequest, dModel: number): HeadSizes {
  const { heads, kv_heads: kvHeads = heads } = stack
  if (heads % kvHeads !== 0) {
    const message = `expected a number that divides heads = ${heads}, got ${kvHeads}`
    throw fieldProblem('INVALID_REQUEST', '/stack/kv_heads', message)
  }
  if (!params.given && dModel % heads !== 0) {
    const message = `expected a number that divides d_model = ${dModel}, got ${heads}`
    throw fieldProblem('INVALID_REQUEST', '/stack/heads', message)
  }
  const share = (name: string, among: number): number => {
    const columns = params.extent(`layers.0.attention.${name}`, 1) ?? (dModel / heads) * among
    if (columns % among === 0) return columns / among
    const source = stack.params?.[`layers.0.attention.${name}`] as TensorSource
    throw fieldProblem(
      'SHAPE_MISMATCH',
      `/stack/params/layers.0.attention.${name}`,
      `expected a number of columns that ${among} heads divide, got [${source.shape.join(', ')}]`,
    )
  }
  return { heads, kvHeads, dimK: share('w_q', heads), dimV: share('w_v', kvHeads) }
}

function blockParams(
  params: Params,
  stack: StackRequest,
  layer: number,
  dModel: number,
  dHidden: number,
  { heads, kvHeads, dimK, dimV }: HeadSizes,
): BlockParams {
  const weight = (name: string, shape: number[]) => params.take(`layers.${layer}.${name}`, shape, 'weight')
  const bias = (name: string, columns: number) => params.maybe(`layers.${layer}.${name}`, [columns], 'bias')
  return {
    attention: {
      w_q: weight('attention.w_q', [dModel, heads * dimK]),
      w_k: weight('attention.w_k', [dModel, kvHeads * dimK]),
      w_v: weight('attention.w_v', [dModel, kvHeads * dimV]),
      w_o: weight('attention.w_o', [heads * dimV, dModel]),
      b_q: bias('attention.b_q', heads * dimK),
      b_k: bias('attention.b_k', kvHeads * dimK),
      b_v: bias('attention.b_v', kvHeads * dimV),
      b_o: bias('attention.b_o', dModel),
    },
    norm1: normParams(params, stack, `layers.${layer}.norm1`, dModel),
    ffn: {
      w_1: weight('ffn.w_1', [dModel, dHidden]),
      w_gate: stack.activation === 'swiglu' ? weight('ffn.w_gate', [dModel, dHidden]) : undefined,
      w_2: weight('ffn.w_2', [dHidden, dModel]),
      b_1: bias('ffn.b_1', dHidden),
      b_2: bias('ffn.b_2', dModel),
    },
    norm2: normParams(params, stack, `layers.${layer}.norm2`, dModel),
  }
}

function normParams(params: Params, stack: StackRequest, name: string, dim: number): NormParams {
  const gamma = params.take(`${name}.gamma`, [dim], 'gamma')
  return { gamma, beta: stack.norm_kind === 'rms' ? undefined : params.maybe(`${name}.beta`, [dim], 'beta') }
}

function attentionOptions({
  stack,
  checkpoint: _checkpoint,
  x: _x,
  ...options
}: StackFields): AttentionOptions {
  return {
    ...options,
    // linear attention has no weights to drop; that leaves the hidden units
    dropout: attentionKind(options.attention_kind).kind === 'linear' ? undefined : options.dropout,
    causal: stack.causal,
    alibi: stack.position === 'alibi',
    rope: stack.position === 'rope' ? (stack.rope ?? { interleaved: false }) : undefined,
  }
}

function stackShape({ stack, dropout, checkpoint }: StackFields, x: Sequence, dHidden: number): StackShape {
  const { batch, positions, dim: dModel } = x
  const normArgs = { rows: batch * positions, dim: dModel, kind: stack.norm_kind, eps: stack.norm_eps }
  const seed = dropout?.seed ?? 0
  return {
    layers: stack.layers,
    sinusoidal:
      stack.position === 'sinusoidal' ? { positions, dim: dModel, offset: 0, base: 10000 } : undefined,
    elements: batch * positions * dModel,
    normArgs,
    checkpoint,
    block: layer => ({
      seedOffset: 2 * layer,
      norm: stack.norm,
      normArgs,
      dModel,
      ffn: {
        batch,
        positions,
        dModel,
        dHidden,
        activation: stack.activation,
        dropout: { p: dropout?.p ?? 0, seed, seedOffset: 2 * layer + 1 },
      },
    }),
  }
}
