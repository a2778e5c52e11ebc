/** The parameters of a stack, layer by layer, and the sizes of heads that they say. */
import { GATED } from '../../workers/ops/activation/op.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { fieldProblem } from '../problem.ts'
import { type BlockParams, NORMS } from './block.ts'
import type { NormParams } from './block-parts.ts'
import type { FeedForwardParams } from './feed-forward.ts'
import type { Geometry } from './geometry.ts'
import type { MultiHeadParams } from './multi-head.ts'
import type { Params } from './params.ts'
import type { StackRequest } from './stack-fields.ts'

export type HeadSizes = Pick<Geometry, 'heads' | 'kvHeads' | 'dimK' | 'dimV'>

export function headSizes(params: Params, stack: StackRequest, dModel: number): HeadSizes {
  const { heads, kv_heads: kvHeads = heads } = stack
  if (heads % kvHeads !== 0) {
    const message = `expected a number that divides heads = ${heads}, got ${kvHeads}`
    throw fieldProblem('INVALID_REQUEST', '/stack/kv_heads', message)
  }
  const headDim = stack.head_dim ?? dModel / heads
  if (!params.given && !Number.isInteger(headDim)) {
    const message = `expected a number that divides d_model = ${dModel}, got ${heads}`
    throw fieldProblem('INVALID_REQUEST', '/stack/heads', message)
  }
  const share = (name: string, among: number): number => {
    const columns = params.extent(`layers.0.attention.${name}`, 1) ?? headDim * among
    if (stack.head_dim === undefined ? columns % among === 0 : columns === headDim * among)
      return columns / among
    const source = stack.params?.[`layers.0.attention.${name}`] as TensorSource
    const expected =
      stack.head_dim === undefined
        ? `a number of columns that ${among} heads divide`
        : `${among} heads of head_dim = ${headDim} columns`
    throw fieldProblem(
      'SHAPE_MISMATCH',
      `/stack/params/layers.0.attention.${name}`,
      `expected ${expected}, got [${source.shape.join(', ')}]`,
    )
  }
  return { heads, kvHeads, dimK: share('w_q', heads), dimV: share('w_v', kvHeads) }
}

/** Whether queries and keys of attention have a gain: the first layer says it for all. */
export function hasGains(params: Params, attention: string): boolean {
  const has = (side: string) => params.has(`layers.0.${attention}.${side}_norm.gamma`)
  return has('q') || has('k')
}

export interface Widths {
  dModel: number
  dHidden: number
  /** of what a layer attends to beside x */
  dContext: number | undefined
  /** norms that are the identity, by name */
  identities: readonly string[] | undefined
}

/** A layer's parameters, of these widths. */
export function blockParams(
  params: Params,
  stack: StackRequest,
  layer: number,
  { dModel, dHidden, dContext, identities }: Widths,
  sizes: HeadSizes,
): BlockParams {
  const at = `layers.${layer}`
  const norms: BlockParams['norms'] = []
  /** A part, and the norms around it. */
  const part = <T>(params: T): T => {
    for (let count = 0; count < NORMS[stack.norm]; count++) norms.push(norm(norms.length + 1))
    return params
  }
  const norm = (index: number) => {
    const name = `${at}.norm${index}`
    return identities?.includes(name) ? undefined : normParams(params, stack, name, dModel)
  }
  const attention = part(attentionParams(params, layer, 'attention', dModel, dModel, sizes))
  const cross =
    dContext === undefined
      ? undefined
      : part(attentionParams(params, layer, 'cross_attention', dModel, dContext, sizes))
  const ffn = part(feedForwardParams(params, stack, `${at}.ffn`, dModel, dHidden))
  return { attention, cross, ffn, norms }
}

function feedForwardParams(
  params: Params,
  stack: StackRequest,
  at: string,
  dModel: number,
  dHidden: number,
): FeedForwardParams {
  const gated = GATED.has(stack.activation)
  return {
    w_1: params.take(`${at}.w_1`, [dModel, dHidden], 'weight'),
    w_gate: gated ? params.take(`${at}.w_gate`, [dModel, dHidden], 'weight') : undefined,
    w_2: params.take(`${at}.w_2`, [dHidden, dModel], 'weight'),
    b_1: params.maybe(`${at}.b_1`, [dHidden], 'bias'),
    b_2: params.maybe(`${at}.b_2`, [dModel], 'bias'),
  }
}

function attentionParams(
  params: Params,
  layer: number,
  name: string,
  dModel: number,
  dSource: number,
  { heads, kvHeads, dimK, dimV }: HeadSizes,
): MultiHeadParams {
  const at = `layers.${layer}.${name}`
  const gain = hasGains(params, name)
    ? (side: string) => params.take(`${at}.${side}_norm.gamma`, [dimK], 'gamma')
    : () => undefined
  return {
    w_q: params.take(`${at}.w_q`, [dModel, heads * dimK], 'weight'),
    w_k: params.take(`${at}.w_k`, [dSource, kvHeads * dimK], 'weight'),
    w_v: params.take(`${at}.w_v`, [dSource, kvHeads * dimV], 'weight'),
    w_o: params.take(`${at}.w_o`, [heads * dimV, dModel], 'weight'),
    b_q: params.maybe(`${at}.b_q`, [heads * dimK], 'bias'),
    b_k: params.maybe(`${at}.b_k`, [kvHeads * dimK], 'bias'),
    b_v: params.maybe(`${at}.b_v`, [kvHeads * dimV], 'bias'),
    b_o: params.maybe(`${at}.b_o`, [dModel], 'bias'),
    sinks: params.has(`${at}.sinks`) ? params.take(`${at}.sinks`, [heads], 'bias') : undefined,
    'q_norm.gamma': gain('q'),
    'k_norm.gamma': gain('k'),
  }
}

export function normParams(params: Params, stack: StackRequest, name: string, dim: number): NormParams {
  const gamma = params.take(`${name}.gamma`, [dim], 'gamma')
  return { gamma, beta: stack.norm_kind === 'rms' ? undefined : params.maybe(`${name}.beta`, [dim], 'beta') }
}
