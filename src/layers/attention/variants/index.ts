/**
 * Softmax attention or one of its approximations: which options go with which, what of a kind the layers of a request
 * share, and the way from each to its steps.
 */
import type { Pass } from '../../../../workers/pass-args.ts'
import type { AttentionArgs, Ref } from '../../../../workers/task.ts'
import { fieldProblem } from '../../../problem.ts'
import type { ProgramBuilder } from '../../../program.ts'
import { rowStep } from '../../row-step.ts'
import { attendedArea } from '../attended-area.ts'
import type { AttentionRequest } from '../fields.ts'
import {
  type Asked,
  type AttentionGradients,
  type AttentionState,
  attentionBackward,
  attentionForward,
  attentionMaps,
  type MapName,
  type Scores,
  type Wanted,
} from '../softmax.ts'
import type { AttentionKind } from './fields.ts'
import { type LinearState, linearAttentionBackward, linearAttentionForward } from './linear.ts'
import { planLsh } from './lsh.ts'
import {
  type PassesState,
  type PassPlan,
  passesBackward,
  passesForward,
  passesMaps,
  planPasses,
} from './passes.ts'

/** What every layer of a request that attends in the same way shares. */
export type SharedKind =
  | { kind: 'softmax' | 'linear' | 'local' }
  | { kind: 'block'; intervals: Ref; area: number }
  | { kind: 'strided'; plan: PassPlan }
  | Extract<AttentionKind, { kind: 'lsh' }>

/** What is not to stand beside a kind. `return` and `backward` are asked apart, name by name. */
const REFUSED: Partial<Record<AttentionKind['kind'], { fields: string[]; returns: string[] }>> = {
  linear: {
    fields: ['scale', 'softcap', 'mask', 'window', 'alibi', 'dropout'],
    returns: ['weights', 'scores', 'masked_scores', 'logsumexp', 'entropy', 'dropped_weights'],
  },
  lsh: { fields: ['mask', 'alibi'], returns: ['dropped_weights'] },
  strided: { fields: ['mask', 'alibi'], returns: ['dropped_weights'] },
}

/** The kind, and what it may not go with beside the options of attention. */
export interface KindOptions extends Partial<Pick<AttentionRequest, 'attention_kind' | 'compare_exact'>> {
  return?: readonly string[] | undefined
  backward?: { entropy_weight?: number | undefined } | undefined
}

/** Throws the 400 that names the option which means nothing with this kind. `pointers`: where options stand, if elsewhere. */
export function refuseOptions(
  { kind }: AttentionKind,
  options: KindOptions & { dropout?: unknown },
  pointers: Record<string, string> = {},
): void {
  const refuse = (pointer: string, message: string) => {
    throw fieldProblem('INVALID_REQUEST', pointer, message)
  }
  const without = `expected none beside "attention_kind":"${kind}", got one`
  const { fields, returns } = REFUSED[kind] ?? { fields: [], returns: [] }
  for (const field of fields) {
    const value = (options as Record<string, unknown>)[field]
    if (value !== undefined && value !== false) refuse(pointers[field] ?? `/${field}`, without)
  }
  for (const [index, name] of (options.return ?? []).entries()) {
    if (returns.includes(name)) {
      refuse(`/return/${index}`, `expected what "attention_kind":"${kind}" has, got "${name}"`)
    }
  }
  if (kind === 'linear' && options.backward?.entropy_weight !== undefined) {
    refuse('/backward/entropy_weight', without)
  }
  if (!options.compare_exact) return
  if (kind === 'softmax') refuse('/compare_exact', 'expected an approximation to compare, got softmax itself')
  if (options.dropout !== undefined)
    refuse('/compare_exact', 'expected no dropout beside compare_exact, got one')
}

/** `args` are those of exact attention. Adds the steps that need no queries and keys. */
export function shareKind(
  p: ProgramBuilder,
  kind: AttentionKind,
  args: AttentionArgs,
  lengths: Pick<Scores, 'qLengths' | 'kvLengths'>,
): SharedKind {
  switch (kind.kind) {
    case 'softmax':
    case 'linear':
    case 'lsh':
      return kind
    case 'local':
      return { kind: 'local' }
    case 'strided': {
      // no two positions are further apart than this: a longer stride, too, has all pairs
      const stride = Math.min(kind.stride, args.queries + args.keys + 1)
      const near: Pass = { by: 'whole', buckets: 1, chunk: 0, reach: stride - 1 }
      const far: Pass = { by: 'residue', buckets: stride, chunk: 0, reach: -1 }
      return { kind: 'strided', plan: planPasses(p, args, [near, far], lengths) }
    }
    case 'block': {
      const { batch, heads, queries, keys } = args
      const { size, previous } = kind
      const intervals = p.buffer({ type: 'int32', length: 2 * batch * heads * queries })
      const { alignment, pastKeys } = args
      const blockArgs = { batch, heads, queries, keys, alignment, pastKeys, size, previous }
      const tensors = { ...lengths, intervals }
      p.stage(rowStep({ op: 'blockIntervals', tensors, args: blockArgs }, batch * heads, queries * 8))
      // a window as wide as a block, on average half of it on each side
      const half = Math.floor(size / 2)
      const window = { windowLeft: previous ? size + half : half, windowRight: half }
      return { kind: 'block', intervals, area: attendedArea({ ...args, ...window }, undefined, undefined) }
    }
  }
}

/** Local attention is a window: the narrower of the request's own and this one. */
export function localWindow(args: AttentionArgs, kind: AttentionKind): AttentionArgs {
  if (kind.kind !== 'local') return args
  const within = (limit: number) => (limit < 0 ? kind.window : Math.min(limit, kind.window))
  return { ...args, windowLeft: within(args.windowLeft), windowRight: within(args.windowRight) }
}

export type KindState = AttentionState & Partial<Pick<LinearState, 'linear'> & Pick<PassesState, 'passes'>>

/** `scores` with the arguments of the kind (see localWindow). */
export function kindForward(
  p: ProgramBuilder,
  shared: SharedKind,
  scores: Scores,
  v: Ref,
  asked: Asked,
): KindState {
  switch (shared.kind) {
    case 'linear':
      return linearAttentionForward(p, scores, v, asked.into)
    case 'lsh':
      return passesForward(p, scores, v, planLsh(p, scores, shared), asked)
    case 'strided':
      return passesForward(p, scores, v, shared.plan, asked)
    case 'block': {
      const { intervals, area } = shared
      return attentionForward(p, { ...scores, intervals, area: Math.min(area, scores.area) }, v, asked)
    }
    default:
      return attentionForward(p, scores, v, asked)
  }
}

/** Differentiates kindForward. */
export function kindBackward(
  p: ProgramBuilder,
  state: KindState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  wanted: Wanted,
): AttentionGradients {
  const { linear, passes } = state
  if (linear !== undefined) return linearAttentionBackward(p, { ...state, linear }, gradOutput, wanted)
  if (passes !== undefined) return passesBackward(p, { ...state, passes }, gradOutput, scalars, wanted)
  return attentionBackward(p, state, gradOutput, scalars, wanted)
}

/** Maps over the pairs of kindForward, but of scores that `state` has in the place of its own. */
export function kindMaps(p: ProgramBuilder, state: KindState, names: readonly MapName[]) {
  const { passes, logsumexp } = state
  if (passes === undefined) return attentionMaps(p, state, logsumexp, names)
  return passesMaps(p, state, logsumexp, passes.plan, names)
}
