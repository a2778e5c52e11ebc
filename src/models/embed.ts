/** The embeddings of tokens, positions and types, their norm, and below it their gradients. */
import type { Ref } from '../../workers/contract.ts'
import { embedBackward, embedTokens } from '../../workers/ops/tokens/op.ts'
import { type NormState, normBackward, normForward } from '../layers/norm.ts'
import type { EmbeddingSpec } from './family.ts'
import { addGradient, type ProgramWeights, type WeightGradients } from './program-weights.ts'
import { placesOf, type Tokens } from './tokens.ts'

export interface Embedded {
  tokens: Tokens
  spec: EmbeddingSpec
  refs: { ids: Ref; places?: Ref; kinds?: Ref }
  /** what the stack reads */
  x: Ref
  norm?: NormState
}

/** `first`: position of the first token. `scales`: of each row's token, float64. `ids`: where they stand, if elsewhere. */
export function embed(
  weights: ProgramWeights,
  tokens: Tokens,
  { first = 0, scales, ids }: { first?: number; scales?: Ref; ids?: Ref } = {},
): Embedded {
  const { p, model } = weights
  const { embeddings: spec, sizes } = model.plan.spec
  const rows = tokens.batch * tokens.positions
  const dim = sizes.dModel
  const whole = (data: Int32Array) => p.buffer({ type: 'int32', length: rows, data })
  const padded = typeof spec.positions === 'object' ? spec.positions.padded : undefined
  const refs = {
    ids: ids ?? whole(tokens.ids),
    ...(spec.positions !== 'none' && { places: whole(placesOf(tokens, first, padded)) }),
    ...(spec.types && { kinds: whole(tokens.kinds ?? new Int32Array(rows)) }),
  }
  const y = p.reals(rows * dim)
  const tensors = {
    ...refs,
    table: weights.asItLies('embeddings.tokens'),
    positions: refs.places === undefined ? undefined : weights.asItLies('embeddings.positions'),
    types: refs.kinds === undefined ? undefined : weights.asItLies('embeddings.types'),
    scales,
    y,
  }
  p.stage(p.step(embedTokens, tensors, { rows, dim, factor: spec.factor }))
  if (spec.norm === undefined) return { tokens, spec, refs, x: y }
  const params = { gamma: weights.ref('embeddings.norm.gamma'), beta: weights.maybe('embeddings.norm.beta') }
  const norm = normForward(p, y, params, { rows, dim, kind: 'layer', eps: spec.norm.eps })
  return { tokens, spec, refs, x: norm.y, norm }
}

/** From the gradient of x to that of the embeddings of tokens; those of weights that `wants` names go to `found`. */
export function embeddingGradients(
  weights: ProgramWeights,
  { norm, refs, spec }: Embedded,
  gradX: Ref,
  wants: (name: string) => boolean,
  found: WeightGradients,
): Ref {
  const { p, model } = weights
  let gradient = gradX
  if (norm !== undefined) {
    const needs = { gamma: wants('embeddings.norm.gamma'), beta: wants('embeddings.norm.beta') }
    const back = normBackward(p, norm, gradX, needs)
    if (back.gamma !== undefined) addGradient(weights, found, 'embeddings.norm.gamma', back.gamma)
    if (back.beta !== undefined) addGradient(weights, found, 'embeddings.norm.beta', back.beta)
    gradient = back.x
  }
  const table = (name: string, ids: Ref | undefined, factor: number) => {
    if (ids === undefined || !wants(name)) return
    const [entries, dim] = model.source(name).shape
    const gradTable = p.reals(entries * dim)
    const rows = p.buffers[ids].length
    p.stage(p.step(embedBackward, { ids, gradY: gradient, gradTable }, { rows, dim, entries, factor }))
    addGradient(weights, found, name, gradTable)
  }
  table('embeddings.tokens', refs.ids, spec.factor)
  table('embeddings.positions', refs.places, 1)
  table('embeddings.types', refs.kinds, 1)
  return gradient
}
