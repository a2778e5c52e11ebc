/**
 * Attention as every layer uses it: qk-norm and rope on new queries and keys, the past before them, then scaled
 * dot-product attention with the maps that were asked for; and backwards through all of it.
 */
import type { StepDraft } from '../../../workers/program.ts'
import type { Ref } from '../../../workers/task.ts'
import type { RequestProgram } from '../program-builder.ts'
import { rowStep } from '../row-step.ts'
import { type AttentionSetup, argsForLayer } from './plan.ts'
import { type Prepared, prepareBackward, prepareForward } from './positions.ts'
import type { Asked } from './softmax.ts'
import { type KindState, kindBackward, kindForward } from './variants/index.ts'

/** New queries, keys and values [batch, heads, positions, dim], and keys and values of the past. */
export interface CoreInputs {
  q: Ref
  k: Ref
  v: Ref
  pastK?: Ref
  pastV?: Ref
}

export interface CoreState {
  setup: AttentionSetup
  attention: KindState
  q: Prepared
  k: Prepared
  /** keys, normalised and rotated, and values: the past and the new ones, as the next request takes them for its past */
  presentK: Ref
  presentV: Ref
}

/** Which gradients are wanted. */
export interface CoreWanted {
  q: boolean
  k: boolean
  v: boolean
  mask: boolean
  pastK: boolean
  pastV: boolean
}

export type CoreGradients = { [name in keyof CoreWanted]?: Ref }

/** `seedOffset` is added to the dropout's seed. */
export function coreForward(
  p: RequestProgram,
  setup: AttentionSetup,
  inputs: CoreInputs,
  { seedOffset = 0, ...asked }: Asked & { seedOffset?: number },
): CoreState {
  const { batch, heads, kvHeads, queries, keys, dimK } = setup.geometry
  const fresh = keys - setup.past
  const qRows = { heads: batch * heads, positions: queries, dim: dimK }
  const kRows = { heads: batch * kvHeads, positions: fresh, dim: dimK }
  const qSide = prepareForward(p, inputs.q, qRows, setup.norm, setup.rope?.q)
  const kSide = prepareForward(p, inputs.k, kRows, setup.norm, setup.rope?.k)
  for (const [index, stage] of qSide.stages.entries()) p.stage(...stage, ...kSide.stages[index])

  const presentK = present(p, setup, inputs.pastK, kSide.prepared.ready, dimK)
  const presentV = present(p, setup, inputs.pastV, inputs.v, setup.geometry.dimV)
  p.stage(...presentK.steps, ...presentV.steps)
  const scores = {
    args: argsForLayer(setup, seedOffset),
    q: qSide.prepared.ready,
    k: presentK.ready,
    careful: p.nonFinite,
    mask: setup.mask,
    maskLayout: setup.maskLayout,
    slopes: setup.slopes,
    qLengths: setup.qLengths,
    kvLengths: setup.kvLengths,
    area: setup.area,
  }
  const attention = kindForward(p, setup.kind, scores, presentV.ready, asked)
  return {
    setup,
    attention,
    q: qSide.prepared,
    k: kSide.prepared,
    presentK: presentK.ready,
    presentV: presentV.ready,
  }
}

/** Differentiates coreForward. */
export function coreBackward(
  p: RequestProgram,
  { setup, attention, q, k }: CoreState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  wanted: CoreWanted,
): CoreGradients {
  const all = kindBackward(p, attention, gradOutput, scalars, {
    q: wanted.q,
    k: wanted.k || wanted.pastK,
    v: wanted.v || wanted.pastV,
    mask: wanted.mask,
  })
  const { dimK, dimV } = setup.geometry
  const forK = parts(p, setup, all.k, dimK, wanted.k, wanted.pastK)
  const forV = parts(p, setup, all.v, dimV, wanted.v, wanted.pastV)
  p.stage(...forK.steps, ...forV.steps)

  const qSide = all.q === undefined ? undefined : prepareBackward(p, q, all.q)
  const kSide = forK.fresh === undefined ? undefined : prepareBackward(p, k, forK.fresh)
  for (const stage of [0, 1]) p.stage(...(qSide?.stages[stage] ?? []), ...(kSide?.stages[stage] ?? []))
  return {
    q: qSide?.grad,
    k: kSide?.grad,
    v: forV.fresh,
    mask: all.mask,
    pastK: forK.past,
    pastV: forV.past,
  }
}

/** The past and what is new, one behind the other. */
function present(p: RequestProgram, setup: AttentionSetup, past: Ref | undefined, x: Ref, dim: number) {
  if (past === undefined) return { ready: x, steps: [] }
  const { args, units } = concatArgs(setup, dim)
  const y = p.reals(units * setup.geometry.keys * dim)
  const tensors = { past, x, y }
  return {
    ready: y,
    steps: [rowStep({ op: 'concatForward', tensors, args }, units, setup.geometry.keys * dim)],
  }
}

/** The gradient of both, apart. */
function parts(
  p: RequestProgram,
  setup: AttentionSetup,
  gradY: Ref | undefined,
  dim: number,
  wantFresh: boolean,
  wantPast: boolean,
): { fresh?: Ref; past?: Ref; steps: StepDraft[] } {
  if (gradY === undefined || setup.past === 0) return { fresh: gradY, steps: [] }
  const { args, units } = concatArgs(setup, dim)
  const gradPast = wantPast ? p.reals(units * setup.past * dim) : undefined
  const gradX = wantFresh ? p.reals(units * args.positions * dim) : undefined
  const tensors = { gradY, gradPast, gradX }
  const step = rowStep({ op: 'concatBackward', tensors, args }, units, setup.geometry.keys * dim)
  return { fresh: gradX, past: gradPast, steps: [step] }
}

function concatArgs({ geometry, past }: AttentionSetup, dim: number) {
  const units = geometry.batch * geometry.kvHeads
  return { args: { heads: units, past, positions: geometry.keys - past, dim }, units }
}
