/** Sinks: one more logit a query head in the softmax's denominator, put there behind the attention over keys; and their gradient. */
import type { Ref } from '../../../workers/contract.ts'
import { applySinks, sinkGradient } from '../../../workers/ops/sinks/op.ts'
import type { ProgramBuilder } from '../program-builder.ts'
import type { AttentionResults, GradientTerms, RowResults, Scores } from './softmax.ts'

/** Where the rows' results go that do not have the sinks yet. */
export function beforeSinks({ sinks }: Scores, into: RowResults | undefined): RowResults | undefined {
  return sinks === undefined ? into : into && { logsumexp: into.logsumexp }
}

/** The results with the sinks in the denominators, in place where they can be. */
export function withSinks(
  p: ProgramBuilder,
  state: AttentionResults,
  into: RowResults | undefined,
): AttentionResults {
  const { sinks, args, packed } = state.scores
  if (sinks === undefined) return state
  const { batch, heads, queries, keys, dimV, positionsFirst } = args
  const rows = batch * heads * queries
  const { output, denominator, written } = state
  const sunkDenominator = p.buffer({ type: 'float64', length: 2 * rows })
  const logsumexp = p.buffer({ type: 'float64', length: rows })
  const entropy = state.entropy && (into?.entropy ?? p.reals(rows))
  const { weights, droppedWeights } = written
  const { cuQ, cuK, pairStarts } = packed?.refs ?? {}
  const keysOfRow = packed === undefined ? keys : Math.ceil(packed.pairs / Math.max(1, queries))
  const tensors = {
    sinks,
    cuQ,
    cuK,
    pairStarts,
    output,
    denominator,
    entropy: state.entropy,
    weights,
    droppedWeights,
    sunkOutput: output,
    sunkDenominator,
    sunkLogsumexp: logsumexp,
    sunkEntropy: entropy,
    sunkWeights: weights,
    sunkDroppedWeights: droppedWeights,
  }
  p.stage(p.step(applySinks, tensors, { heads, rows, queries, keys: keysOfRow, dimV, positionsFirst }))
  return { ...state, denominator: sunkDenominator, logsumexp, entropy, attending: state.logsumexp }
}

/** ∂L/∂sinks [heads]. */
export function sinksBackward(
  p: ProgramBuilder,
  { scores, output, denominator, entropy }: AttentionResults,
  gradOutput: Ref,
  scalars: Ref | undefined,
  terms: GradientTerms | undefined,
): Ref {
  const { heads, dimV, positionsFirst } = scores.args
  const { sequences: batch } = scores.packed ?? { sequences: scores.args.batch }
  const queries = Math.ceil((scores.args.batch * scores.args.queries) / Math.max(1, batch))
  const gradSinks = p.reals(heads)
  const sinks = scores.sinks as Ref
  const tensors = {
    sinks,
    output,
    denominator,
    entropy,
    gradOutput,
    scalars,
    rowTerms: terms?.rows,
    cuQ: scores.packed?.refs.cuQ,
    gradSinks,
  }
  p.stage(p.step(sinkGradient, tensors, { batch, heads, queries, dimV, positionsFirst }))
  return gradSinks
}
