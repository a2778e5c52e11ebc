/** Attention over packed sequences as steps: what softmax.ts puts in the place of its own. */
import type { Ref } from '../../../workers/contract.ts'
import { type AttentionArgs, partsOf } from '../../../workers/ops/attention/op.ts'
import {
  gatherPairs,
  packedBackward,
  packedDistanceGradient,
  packedForward,
  packedJvp,
  spreadPairs,
} from '../../../workers/ops/packed-attention/op.ts'
import type { ProgramBuilder, StepOptions } from '../program-builder.ts'
import type { Packed } from './packed.ts'

interface ScoreRefs {
  q: Ref
  k: Ref
  v: Ref
  slopes?: Ref | undefined
  distanceBiases?: Ref | undefined
  intervals?: Ref | undefined
}

interface ForwardRefs extends ScoreRefs {
  output: Ref
  denominator: Ref
  logsumexp: Ref
  entropy?: Ref | undefined
}

interface GradientRefs extends ScoreRefs {
  output: Ref
  denominator: Ref
  gradOutput: Ref
  weightTerms?: Ref | undefined
}

interface BackwardRefs extends GradientRefs {
  delta: Ref
}

interface JvpRefs extends ScoreRefs {
  denominator: Ref
}

function argsOf(args: AttentionArgs, { sequences, longest, pairs, tiles }: Packed) {
  const { queries: allQueries, keys: allKeys } = args
  return { ...args, ...longest, sequences, allQueries, allKeys, allPairs: pairs, tiles }
}

export function forwardStep(
  p: ProgramBuilder,
  packed: Packed,
  refs: ForwardRefs,
  args: AttentionArgs,
  options: StepOptions,
) {
  return p.step(packedForward, { ...refs, ...packed.refs }, argsOf(args, packed), options)
}

export function backwardStep(
  p: ProgramBuilder,
  packed: Packed,
  refs: BackwardRefs,
  args: AttentionArgs,
  options: StepOptions,
) {
  const shared = { ...argsOf(args, packed), shares: packed.shares }
  return p.step(packedBackward, { ...refs, ...startsFor(packed, refs) }, shared, options)
}

/** Those of pairs only where they are read. */
function startsFor({ refs }: Packed, { weightTerms }: GradientRefs) {
  const { tileStarts, pairStarts, ...starts } = refs
  return weightTerms === undefined ? starts : { ...starts, pairStarts }
}

/** float64 [1, heads, distances]: see attentionDistanceGradient. */
export function distanceStep(
  p: ProgramBuilder,
  packed: Packed,
  refs: GradientRefs & { gradDistances: Ref },
  args: AttentionArgs,
  options: StepOptions,
) {
  const tensors = { ...refs, ...startsFor(packed, refs) }
  return p.step(packedDistanceGradient, tensors, argsOf(args, packed), options)
}

export function jvpStep(
  p: ProgramBuilder,
  packed: Packed,
  refs: JvpRefs,
  args: AttentionArgs,
  options: StepOptions,
) {
  return p.step(packedJvp, { ...refs, ...packed.refs }, argsOf(args, packed), options)
}

/** Whether the keys of some sequence have several parts: then there is one more gradient of q. */
export function hasParts({ longest }: Packed): boolean {
  return partsOf(longest.keys) > 1
}

/** The pairs within sequences, of a map of all. */
export function pairsOf(p: ProgramBuilder, { sequences, refs, rows, pairs }: Packed, x: Ref): Ref {
  const { heads, positions: queries } = rows.q
  const keys = rows.k.positions
  const y = p.reals(heads * pairs)
  const { cuQ, cuK, pairStarts } = refs
  p.stage(p.step(gatherPairs, { x, cuQ, cuK, pairStarts, y }, { heads, sequences, queries, keys, pairs }))
  return y
}

/** A map of all pairs, [heads, all queries, all keys], from that of pairs within sequences. */
export function wholeMap(p: ProgramBuilder, { sequences, refs, rows }: Packed, x: Ref, masked: boolean): Ref {
  const { heads, positions: queries } = rows.q
  const keys = rows.k.positions
  const y = p.reals(heads * queries * keys)
  const { cuQ, cuK, pairStarts } = refs
  p.stage(p.step(spreadPairs, { x, cuQ, cuK, pairStarts, y }, { heads, sequences, queries, keys, masked }))
  return y
}
