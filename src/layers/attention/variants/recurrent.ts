/**
 * Attention as a recurrence over the keys, as ONNX's LinearAttention has it: `gated`, `delta` and `gated_delta`, and `linear` without
 * a normaliser. Below it its gradients. workers/ops/recurrent-attention/op.ts has the formulas.
 */
import * as z from 'zod'
import type { Ref } from '../../../../workers/contract.ts'
import { activationBackward, activationForward } from '../../../../workers/ops/activation/op.ts'
import {
  decayFactors,
  type RecurrentArgs,
  recurrentBackward,
  recurrentChunks,
  recurrentForward,
  sumOverHeads,
} from '../../../../workers/ops/recurrent-attention/op.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { AttentionGradients, AttentionNeeds, Scores } from '../softmax.ts'
import { gatesField, readGates } from './gates.ts'
import {
  type Attended,
  defineVariant,
  type Gates,
  type VariantContext,
  type VariantForward,
} from './variant.ts'
import { WITHOUT_SCORES } from './without-scores.ts'

type Kind = 'gated' | 'delta' | 'gated_delta'

/** Gates belong to new keys: there are none of a past, which `state` stands for, and rows see no key ahead. */
const REFUSED = {
  fields: [...WITHOUT_SCORES.fields, 'prefix_lengths', 'past_k', 'past_v', 'past'],
  returns: [...WITHOUT_SCORES.returns, 'present_k', 'present_v', 'present'],
}

function defineRecurrent<K extends Kind>(kind: K, id: string) {
  return defineVariant({
    schema: (tensors: TensorKinds) =>
      z
        .strictObject({
          kind: kind === 'gated' ? z.enum(['gated', 'gated_linear']) : z.literal(kind),
          gates: gatesField(tensors, kind),
        })
        .meta({ id: tensors.shapeAlone ? `${id}Shape` : id }),
    refused: REFUSED,
    causal: true,
    gatesOf: (p, given, g, at) => readGates(p, kind, given, g, at),
    state: (_, { dimK, dimV }) => ({ s: { shape: [dimK, dimV] } }),
    plan: (_, context) => recurrentAttention(context, 'identity'),
  })
}

export const gated = defineRecurrent('gated', 'GatedAttention')
export const delta = defineRecurrent('delta', 'DeltaAttention')
export const gatedDelta = defineRecurrent('gated_delta', 'GatedDeltaAttention')

/** What the backward pass reads again. */
interface Recurrence {
  /** as attention has them, before the feature */
  scores: Scores
  /** of the feature */
  inputs: RefsOfForward
  args: RecurrentArgs
  /** of both sides: how many elements */
  sizes: { q: number; k: number }
  feature: 'relu' | 'identity'
  gates: Gates | undefined
}

type RefsOfForward = Record<'q' | 'k' | 'v', Ref> &
  Partial<Record<'factors' | 'beta' | 'intervals' | 'qLengths' | 'kvLengths' | 'initial', Ref | undefined>>

export function recurrentAttention(
  { places, gates }: VariantContext,
  feature: 'relu' | 'identity',
): VariantForward {
  return (p, scores, v, { into }) => {
    const { intervals, nonFinite, state: given } = scores
    const { batch, heads, kvHeads, queries, keys, dimK, dimV, scale, intervalStrides } = scores.args
    const { decayDims = 0, betaHeads = 0 } = gates ?? {}
    const sizes = { batch, heads, kvHeads, queries, keys, dimK, dimV }
    const args = { ...sizes, scale, intervalStrides, decayDims, betaHeads }
    const counts = { q: batch * heads * queries * dimK, k: batch * kvHeads * keys * dimK }
    const features = through(p, scores, counts, feature)
    const factors = gates?.decay === undefined ? undefined : factorsOf(p, gates.decay, args)
    const { qLengths, kvLengths } = places.refs
    const inputs = { ...features, v, factors, beta: gates?.beta, intervals, qLengths, kvLengths }
    const all = { ...inputs, initial: given?.s }
    const output = p.reals(batch * heads * queries * dimV)
    const state = p.reals(batch * kvHeads * dimK * dimV)
    p.stage(p.step(recurrentForward, { ...all, output, state }, args, { nonFinite }))
    // there is none, and nothing that reads it is taken beside this
    const nothing = p.buffer({ type: 'float64', length: 0 })
    const recurrence = { scores, inputs: all, args, sizes: counts, feature, gates }
    const attended: Attended = {
      scores,
      v,
      output,
      denominator: nothing,
      logsumexp: into?.logsumexp ?? nothing,
      written: {},
      state: () => ({ s: state }),
      backward: (p, gradOutput, _, needs) => backward(p, recurrence, gradOutput, needs),
      maps: () => {
        throw new Error('a recurrence has no maps')
      },
    }
    return attended
  }
}

/** φ of queries and keys. */
function through(
  p: RequestProgram,
  { q, k }: Scores,
  counts: Recurrence['sizes'],
  feature: Recurrence['feature'],
): Pick<RefsOfForward, 'q' | 'k'> {
  if (feature === 'identity') return { q, k }
  const side = (x: Ref, count: number) => {
    const y = p.reals(count)
    return { y, step: p.step(activationForward, { x, y }, { kind: feature, count }) }
  }
  const [forQ, forK] = [side(q, counts.q), side(k, counts.k)]
  p.stage(forQ.step, forK.step)
  return { q: forQ.y, k: forK.y }
}

function factorsOf(p: RequestProgram, decay: Ref, a: RecurrentArgs): Ref {
  const width = a.kvHeads * a.decayDims
  const rows = a.batch * a.keys
  const factors = p.reals(rows * width)
  p.stage(p.step(decayFactors, { decay, factors }, { rows, width }))
  return factors
}

/** Differentiates recurrentAttention; the states at the beginnings of chunks are computed once more. */
function backward(
  p: RequestProgram,
  { scores, inputs, args, sizes, feature, gates }: Recurrence,
  gradOutput: Ref,
  needs: AttentionNeeds,
): AttentionGradients {
  const { nonFinite } = scores
  const { batch, kvHeads, keys, dimK, dimV, decayDims, betaHeads } = args
  const own = (name: string) => needs.own?.(name) ?? false
  const needsDecay = gates?.decay !== undefined && own(DECAY)
  const needsBeta = gates?.beta !== undefined && own(BETA)
  if (!needs.q && !needs.k && !needs.v && !needsDecay && !needsBeta && !own(STATE)) return {}
  const stateSize = batch * kvHeads * dimK * dimV
  const states = p.reals(stateSize * recurrentChunks(args))
  p.stage(p.step(recurrentForward, { ...inputs, states, state: p.reals(stateSize) }, args, { nonFinite }))
  const rows = batch * keys
  const found = {
    gradQ: needs.q ? p.reals(sizes.q) : undefined,
    gradK: needs.k ? p.reals(sizes.k) : undefined,
    gradV: needs.v ? p.reals(rows * kvHeads * dimV) : undefined,
    gradDecay: needsDecay ? p.reals(rows * kvHeads * decayDims) : undefined,
    gradBeta: needsBeta ? p.reals(rows * kvHeads) : undefined,
    gradState: p.reals(stateSize),
  }
  p.stage(p.step(recurrentBackward, { ...inputs, states, gradOutput, ...found }, args, { nonFinite }))
  const { gradQ, gradK, gradV, gradDecay, gradBeta, gradState } = found
  const q = gradQ && backThrough(p, scores.q, gradQ, sizes.q, feature)
  const k = gradK && backThrough(p, scores.k, gradK, sizes.k, feature)
  const ofBeta = gradBeta && betaHeads < kvHeads ? overHeads(p, gradBeta, rows, kvHeads) : gradBeta
  return { q, k, v: gradV, own: { [DECAY]: gradDecay, [BETA]: ofBeta, [STATE]: gradState } }
}

const DECAY = 'attention_kind.gates.decay'
const BETA = 'attention_kind.gates.beta'
const STATE = 'state.s'

function backThrough(
  p: RequestProgram,
  x: Ref,
  gradY: Ref,
  count: number,
  feature: Recurrence['feature'],
): Ref {
  if (feature === 'identity') return gradY
  const gradX = p.reals(count)
  p.stage(p.step(activationBackward, { x, gradY, gradX }, { kind: feature, count }))
  return gradX
}

/** Of a beta that the heads share. */
function overHeads(p: RequestProgram, x: Ref, rows: number, width: number): Ref {
  const y = p.reals(rows)
  p.stage(p.step(sumOverHeads, { x, y }, { rows, width }))
  return y
}
