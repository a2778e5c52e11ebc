/** Linear attention: φ(x) = elu(x) + 1 in the place of the exponential, in O((N + M)·d_k·d_v). Katharopoulos et al. 2020. */
import * as z from 'zod'
import type { Ref } from '../../../../workers/contract.ts'
import { concatBackward } from '../../../../workers/ops/elementwise/op.ts'
import {
  LINEAR_CHUNK,
  type LinearAttentionArgs,
  linearAttentionBackwardKey,
  linearAttentionBackwardQuery,
  linearAttentionDelta,
  linearAttentionForward,
  linearChunks,
  linearStateSums,
  linearStates,
  stateLength,
  stateSums,
} from '../../../../workers/ops/linear-attention/op.ts'
import { fieldProblem } from '../../../problem.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { AttentionGradients, AttentionNeeds, RowResults, Scores } from '../softmax.ts'
import { recurrentAttention } from './recurrent.ts'
import { type Attended, defineVariant, type StateTensor, type VariantContext } from './variant.ts'
import { WITHOUT_SCORES } from './without-scores.ts'

const schema = z
  .strictObject({
    kind: z.literal('linear'),
    feature: z
      .enum(['elu1', 'relu', 'identity'])
      .default('elu1')
      .describe(
        'φ of queries and keys. `elu1`: elu(x) + 1, each row divided by Σφ(q)·φ(k). `relu`, `identity`: o = scale·φ(q)ᵀΣφ(k)vᵀ, as ' +
          'ONNX’s LinearAttention has it',
      ),
  })
  .meta({ id: 'LinearAttention' })

export const linear = defineVariant({
  schema: () => schema,
  refused: ({ feature }) => ({
    fields: [...(feature === 'elu1' ? ['scale'] : []), ...WITHOUT_SCORES.fields],
    returns: WITHOUT_SCORES.returns,
  }),
  state({ feature }, { keys, dimK, dimV }): Record<string, StateTensor> {
    if (feature !== 'elu1') return { s: { shape: [dimK, dimV] } }
    // keys of a chunk that is not whole are handed on as they are: chunks begin where they would in one request
    const pending = keys % LINEAR_CHUNK
    return {
      sums: { shape: [stateLength({ dimK, dimV })], dtype: 'float64' },
      k: { shape: [pending, dimK] },
      v: { shape: [pending, dimV] },
    }
  },
  plainState: ({ feature }) =>
    feature === 'elu1'
      ? {
          reason: 'the state of "feature":"elu1", which has no gradient',
          without: ['q_lengths', 'kv_lengths', 'prefix_lengths'],
        }
      : undefined,
  plan: (_, context, { feature }) =>
    feature === 'elu1'
      ? (p, scores, v, { into }) => linearForward(p, scores, v, context, into)
      : recurrentAttention(context, feature),
})

/** What the backward pass reads again. */
interface LinearState {
  scores: Scores
  v: Ref
  output: Ref
  args: LinearAttentionArgs
  /** of the keys' states */
  sums: Ref
  /** [batch, heads, queries]: what each row is divided by */
  normaliser: Ref
  /** [batch, heads, queries]: the logarithm of what the row's features were divided by */
  rowScale: Ref
}

/** output = φ(q)ᵀS/(φ(q)ᵀz), S and z summed over the attended keys. Keeps output, normaliser, scales and the sums. */
function linearForward(
  p: RequestProgram,
  scores: Scores,
  v: Ref,
  context: Pick<VariantContext, 'causal' | 'places'>,
  into?: RowResults,
): Attended {
  const args = linearArgs(scores, context.causal)
  const { batch, heads, queries, dimV } = args
  const rows = batch * heads * queries
  const initial = scores.state?.sums
  const { states, sums } = sumsOfStates(p, scores, args, 'keys', { x: scores.k, y: v }, initial)
  const output = p.reals(rows * dimV)
  const normaliser = p.reals(rows)
  const rowScale = p.reals(rows)
  const { q, k, intervals, nonFinite } = scores
  const tensors = { q, k, v, intervals, sums, output, normaliser, rowScale }
  p.stage(p.step(linearAttentionForward, tensors, args, { nonFinite }))
  // there is none, and nothing that reads it is taken beside linear attention
  const nothing = p.buffer({ type: 'float64', length: 0 })
  const logsumexp = into?.logsumexp ?? nothing
  const state = { scores, v, output, args, sums, normaliser, rowScale }
  return {
    scores,
    v,
    output,
    denominator: nothing,
    logsumexp,
    written: {},
    state: p => linearState(p, state, states, context.places),
    backward: (p, gradOutput, _, needs) => linearBackward(p, state, gradOutput, needs),
    maps: () => {
      throw new Error('linear attention has no maps')
    },
  }
}

/** The sums of all whole chunks, and the keys and values behind them. */
function linearState(
  p: RequestProgram,
  { scores, v, args }: LinearState,
  states: Ref,
  { shift }: VariantContext['places'],
): Record<string, Ref> {
  const { batch, kvHeads, queries, keys, dimK, dimV, causal } = args
  if (causal && queries + shift < keys) {
    const message = `expected causal "bottom_right" beside state, where there are more keys than queries, got "top_left"`
    throw fieldProblem('INVALID_REQUEST', '/causal', message)
  }
  const final = p.buffer({ type: 'float64', length: batch * kvHeads * stateLength(args) })
  const ofKeys = { ...args, side: 'keys' as const }
  const rest = keys % LINEAR_CHUNK
  const tail = (x: Ref, dim: number) => {
    const y = p.reals(batch * kvHeads * rest * dim)
    const sizes = { heads: batch * kvHeads, past: keys - rest, positions: rest, dim }
    return { y, step: p.step(concatBackward, { gradY: x, gradX: y }, sizes) }
  }
  const [forK, forV] = [tail(scores.k, dimK), tail(v, dimV)]
  const sums = p.step(linearStateSums, { states, initial: scores.state?.sums, final }, ofKeys)
  p.stage(sums, forK.step, forV.step)
  return { sums: final, k: forK.y, v: forV.y }
}

/** Differentiates linearForward, for q, k and v. */
function linearBackward(
  p: RequestProgram,
  { scores, v, output, args, sums, normaliser, rowScale }: LinearState,
  gradOutput: Ref,
  needs: AttentionNeeds,
): AttentionGradients {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = args
  const rows = batch * heads * queries
  const kvRows = batch * kvHeads * keys
  if (!needs.q && !needs.k && !needs.v) return {}
  const scaled = p.reals(rows * dimV)
  const gradNormaliser = p.reals(rows)
  const { q, k, intervals, nonFinite } = scores
  const delta = { output, gradOutput, normaliser, scaled, gradNormaliser }
  p.stage(p.step(linearAttentionDelta, delta, args))
  const inputs = { q, k, v, intervals, scaled, gradNormaliser, rowScale }
  const gradients: AttentionGradients = {}
  if (needs.q) {
    const gradQ = p.reals(rows * dimK)
    gradients.q = gradQ
    const tensors = { ...inputs, sums, gradQ }
    p.stage(p.step(linearAttentionBackwardQuery, tensors, args, { nonFinite }))
  }
  if (needs.k || needs.v) {
    const { sums: querySums } = sumsOfStates(p, scores, args, 'queries', {
      x: q,
      y: scaled,
      w: gradNormaliser,
      rowScale,
    })
    gradients.k = needs.k ? p.reals(kvRows * dimK) : undefined
    gradients.v = needs.v ? p.reals(kvRows * dimV) : undefined
    const tensors = { ...inputs, sums: querySums, gradK: gradients.k, gradV: gradients.v }
    p.stage(p.step(linearAttentionBackwardKey, tensors, args, { nonFinite }))
  }
  return gradients
}

function linearArgs({ args }: Scores, causal: boolean): LinearAttentionArgs {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV, intervalStrides } = args
  return { batch, heads, kvHeads, queries, keys, dimK, dimV, intervalStrides, causal }
}

/** Two stages: the states of all chunks of a side, and their running sums. */
function sumsOfStates(
  p: RequestProgram,
  { intervals, nonFinite }: Scores,
  linear: LinearAttentionArgs,
  side: 'keys' | 'queries',
  t: { x: Ref; y: Ref; w?: Ref; rowScale?: Ref },
  initial?: Ref,
): { states: Ref; sums: Ref } {
  const args = { ...linear, side }
  const [heads, positions] = side === 'keys' ? [args.kvHeads, args.keys] : [args.heads, args.queries]
  const length = stateLength(args)
  const states = p.reals(args.batch * heads * linearChunks(positions) * length)
  const sums = p.reals(args.batch * args.kvHeads * stateSums(args, positions) * length)
  p.stage(p.step(linearStates, { ...t, intervals, states }, args, { nonFinite }))
  p.stage(p.step(linearStateSums, { states, initial, sums }, args))
  return { states, sums }
}
