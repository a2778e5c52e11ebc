/** Attention in forward mode over buffers that are there, as a step; what it differentiates is in softmax.ts. */
import type { Ref } from '../../../workers/contract.ts'
import { attentionJvp } from '../../../workers/ops/attention/op.ts'
import type { ProgramBuilder } from '../program-builder.ts'
import { jvpStep } from './packed-softmax.ts'
import { type AttentionResults, scoreTensors } from './softmax.ts'

/** Tangents of what goes into attention, each as long as what it is of; one that is missing is 0. */
export interface InputTangents {
  q?: Ref | undefined
  k?: Ref | undefined
  v?: Ref | undefined
  mask?: Ref | undefined
  sinks?: Ref | undefined
}

export type ResultName = 'output' | 'weights' | 'logsumexp'
export type ResultTangents = Partial<Record<ResultName, Ref>>

/** Differentiates softmaxForward in forward mode: the tangents that are wanted, from those of its inputs (see jvp-op.ts). */
export function softmaxTangent(
  p: ProgramBuilder,
  { scores, v, denominator }: AttentionResults,
  given: InputTangents,
  wanted: readonly ResultName[],
): ResultTangents {
  const { args, area, reckoned, nonFinite, packed } = scores
  const { batch, heads, queries, keys, dimV } = args
  const rows = batch * heads * queries
  const lengths = {
    output: rows * dimV,
    weights: heads * (packed?.pairs ?? batch * queries * keys),
    logsumexp: rows,
  }
  const results: ResultTangents = Object.fromEntries(wanted.map(name => [name, p.reals(lengths[name])]))
  const tensors = {
    ...scoreTensors(scores),
    v,
    denominator,
    sinks: given.sinks && scores.sinks,
    tangentQ: given.q,
    tangentK: given.k,
    tangentV: given.v,
    tangentMask: given.mask,
    tangentSinks: given.sinks,
    tangentOutput: results.output,
    tangentWeights: results.weights,
    tangentLogsumexp: results.logsumexp,
  }
  const options = { nonFinite, area, reckoned }
  if (packed !== undefined) p.stage(jvpStep(p, packed, tensors, args, options))
  else p.stage(p.step(attentionJvp, tensors, args, options))
  return results
}
