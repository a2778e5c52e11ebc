/** Linear attention: φ(x) = elu(x) + 1 in the place of the exponential, in O((N + M)·d_k·d_v). Katharopoulos et al. 2020. */
import type { StepDraft } from '../../../../workers/contract.ts'
import { linearScratchBytes } from '../../../../workers/kernels/simd/linear-attention-call.ts'
import {
  LINEAR_CHUNK,
  type LinearAttentionArgs,
  linearChunks,
  stateLength,
  stateSums,
} from '../../../../workers/linear-attention-args.ts'
import type { Ref } from '../../../../workers/task.ts'
import type { RequestProgram } from '../../program-builder.ts'
import { rowStep } from '../../row-step.ts'
import type { AttentionGradients, AttentionNeeds, RowResults, Scores } from '../softmax.ts'
import { type Attended, defineVariant } from './variant.ts'

/** Rough operations a feature, for costs. */
const FEATURE_FLOPS = 8
/** Measured: an addition of states takes as long as this much text (see row-step.ts). */
const SUM_BYTES = 0.3

export const linear = defineVariant({
  refused: {
    fields: ['scale', 'softcap', 'mask', 'window', 'alibi', 'dropout'],
    returns: ['weights', 'scores', 'masked_scores', 'logsumexp', 'entropy', 'dropped_weights'],
  },
  plan:
    (_, { causal }) =>
    (p, scores, v, { into }) =>
      linearForward(p, scores, v, causal, into),
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
}

/** output = φ(q)ᵀS/(φ(q)ᵀz), S and z summed over the attended keys. Keeps output, normaliser and the sums. */
function linearForward(
  p: RequestProgram,
  scores: Scores,
  v: Ref,
  causal: boolean,
  into?: RowResults,
): Attended {
  const args = linearArgs(scores, causal)
  const { batch, heads, queries, dimV } = args
  const rows = batch * heads * queries
  p.reserveScratch(linearScratchBytes(args))
  const sums = sumsOfStates(p, scores, args, 'keys', { x: scores.k, y: v })
  const output = p.reals(rows * dimV)
  const normaliser = p.reals(rows)
  const { q, k, intervals } = scores
  const tensors = { q, k, v, intervals, sums, output, normaliser }
  p.stage(queryStep(scores, args, { op: 'linearAttentionForward', tensors, args }))
  // there is none, and nothing that reads it is taken beside linear attention
  const logsumexp = into?.logsumexp ?? p.buffer({ type: 'float64', length: 0 })
  const state = { scores, v, output, args, sums, normaliser }
  return {
    scores,
    v,
    output,
    logsumexp,
    written: {},
    backward: (p, gradOutput, _, needs) => linearBackward(p, state, gradOutput, needs),
    maps: () => {
      throw new Error('linear attention has no maps')
    },
  }
}

/** Differentiates linearForward, for q, k and v. */
function linearBackward(
  p: RequestProgram,
  { scores, v, output, args, sums, normaliser }: LinearState,
  gradOutput: Ref,
  needs: AttentionNeeds,
): AttentionGradients {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = args
  const rows = batch * heads * queries
  const kvRows = batch * kvHeads * keys
  if (!needs.q && !needs.k && !needs.v) return {}
  const scaled = p.reals(rows * dimV)
  const gradNormaliser = p.reals(rows)
  const { q, k, intervals, careful } = scores
  const delta = { output, gradOutput, normaliser, scaled, gradNormaliser }
  p.stage(rowStep({ op: 'linearAttentionDelta', tensors: delta, args }, rows, 3 * dimV))
  const inputs = { q, k, v, intervals, scaled, gradNormaliser }
  const gradients: AttentionGradients = {}
  if (needs.q) {
    const gradQ = p.reals(rows * dimK)
    gradients.q = gradQ
    const tensors = { ...inputs, sums, gradQ }
    p.stage(queryStep(scores, args, { op: 'linearAttentionBackwardQuery', tensors, args }))
  }
  if (needs.k || needs.v) {
    const querySums = sumsOfStates(p, scores, args, 'queries', { x: q, y: scaled, w: gradNormaliser })
    gradients.k = needs.k ? p.reals(kvRows * dimK) : undefined
    gradients.v = needs.v ? p.reals(kvRows * dimV) : undefined
    const tensors = { ...inputs, sums: querySums, gradK: gradients.k, gradV: gradients.v }
    const pairs = args.causal ? (heads / kvHeads) * LINEAR_CHUNK : 0
    const products = (needs.k ? 1 : 0) + (needs.v ? 1 : 0)
    p.stage({
      op: 'linearAttentionBackwardKey',
      tensors,
      args,
      phase: 'compute',
      nonFinite: careful,
      units: batch * kvHeads * linearChunks(keys),
      chain: 1,
      bytes: 0,
      flops: kvRows * (2 * products * (dimK * dimV + pairs * (dimK + dimV)) + FEATURE_FLOPS * dimK),
    })
  }
  return gradients
}

function linearArgs({ args }: Scores, causal: boolean): LinearAttentionArgs {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV, intervalStrides, careful } = args
  return { batch, heads, kvHeads, queries, keys, dimK, dimV, intervalStrides, causal, careful }
}

/** Two stages: the states of all chunks of a side, and their running sums. */
function sumsOfStates(
  p: RequestProgram,
  { intervals, careful }: Scores,
  linear: LinearAttentionArgs,
  side: 'keys' | 'queries',
  t: { x: Ref; y: Ref; w?: Ref },
): Ref {
  const args = { ...linear, side }
  const [heads, positions] = side === 'keys' ? [args.kvHeads, args.keys] : [args.heads, args.queries]
  const units = args.batch * heads * linearChunks(positions)
  const length = stateLength(args)
  const states = p.reals(units * length)
  const sums = p.reals(args.batch * args.kvHeads * stateSums(args, positions) * length)
  p.stage({
    op: 'linearStates',
    tensors: { ...t, intervals, states },
    args,
    phase: 'compute',
    nonFinite: careful,
    units,
    chain: 1,
    bytes: 0,
    flops: args.batch * heads * positions * (2 * length + FEATURE_FLOPS * args.dimK),
  })
  const kvHeads = args.batch * args.kvHeads
  const additions = kvHeads === 0 ? 0 : (units / kvHeads) * length
  const summing = { op: 'linearStateSums', tensors: { states, sums }, args } as const
  p.stage(rowStep(summing, kvHeads, additions, SUM_BYTES * additions))
  return sums
}

type QueryCall = Extract<StepDraft, { op: 'linearAttentionForward' | 'linearAttentionBackwardQuery' }>

/** A step over LINEAR_CHUNK query rows a unit: a product with a state a row, and where causal with a chunk of keys. */
function queryStep(
  { careful }: Scores,
  a: LinearAttentionArgs,
  call: Pick<QueryCall, 'op' | 'tensors' | 'args'>,
): StepDraft {
  const rows = a.batch * a.heads * a.queries
  const pairs = a.causal ? LINEAR_CHUNK : 0
  return {
    ...call,
    phase: 'compute',
    nonFinite: careful,
    chain: 1,
    bytes: 0,
    units: a.batch * a.heads * linearChunks(a.queries),
    flops: rows * (2 * (stateLength(a) + pairs * (a.dimK + a.dimV)) + FEATURE_FLOPS * a.dimK),
  } as StepDraft
}
