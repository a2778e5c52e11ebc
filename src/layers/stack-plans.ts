/** How each layer of a stack attends: the options that stand in the stack and beside it, compiled once for layers that agree. */

import type { TensorSource } from '../formats/tensor.ts'
import { bothProblem, fieldProblem } from '../problem.ts'
import { isSpan, refuseSpan, type Window } from './attention/masks/window.ts'
import { type AttentionOptions, planAttention } from './attention/plan.ts'
import { stackBiasField } from './attention/relative-bias.ts'
import { NO_PAST, type Past } from './attention/stages/past.ts'
import type { AttentionPlan } from './attention/stages/stage.ts'
import { attentionKind, refusedBy, refuseOptions, type VariantOptions } from './attention/variants/index.ts'
import type { Geometry } from './geometry.ts'
import type { Param } from './gradients.ts'
import type { Params } from './params.ts'
import type { RequestProgram } from './program-builder.ts'
import type { StackRequest } from './stack-fields.ts'

/** Rows of a table that is drawn, as T5 has them. */
const BUCKETS = 32

/** What stands beside a stack, of what says how it attends. */
export type BesideStack = Omit<AttentionOptions, 'causal' | 'rope' | 'alibi' | 'sinks'>

/** Of each layer; it pauses behind each. `position`: where the first row stands that a state goes on with. */
export function* layerPlans(
  p: RequestProgram,
  stack: StackRequest,
  beside: BesideStack,
  g: Geometry,
  past: Pick<Past, 'given' | 'length'>,
  position = 0,
): Generator<void, AttentionPlan[]> {
  const shared = sharedOptions(stack, beside)
  const windows = windowsOf(stack)
  const pointers = pointersOf(stack, beside)
  const plans: AttentionPlan[] = []
  const ropes = new Map<string, AttentionPlan['rope']>()
  const known = new Map<string, AttentionPlan>()
  for (let layer = 0; layer < stack.layers; layer++) {
    const [window, windowKey] = ofLayer(windows, layer)
    const [rope, ropeKey] = ofLayer(stack.rope, layer)
    const key = `${windowKey} ${ropeKey}`
    let plan = known.get(key)
    if (plan === undefined) {
      const options = { ...shared, window: window ?? beside.window, rope }
      if (stack.rope === undefined && stack.position === 'rope') options.rope = { interleaved: false }
      if (options.rope !== undefined && position > 0) options.rope = ropeFrom(options.rope, position)
      const at = Array.isArray(stack.rope) ? { ...pointers, rope: `/stack/rope/${layer}` } : pointers
      const like = plans[0] && { ...plans[0], rope: ropes.get(ropeKey) }
      plan = planAttention(p, options, g, past, at, { like })
      ropes.set(ropeKey, plan.rope)
      known.set(key, plan)
    }
    plans.push(plan)
    yield
  }
  return plans
}

/** What of a context is no padding: what stands before a length, or is of a segment. */
export interface Unpadded {
  lengths: TensorSource | undefined
  segments?: AttentionOptions['segments']
}

/**
 * Of cross-attention in every layer, to keys of which `lengths` says how many are no padding. What says where a row stands
 * (rope, causal, a window, alibi), the mask and the kind are of self-attention alone.
 */
export function crossPlan(
  p: RequestProgram,
  stack: StackRequest,
  beside: BesideStack,
  g: Geometry,
  { lengths, segments }: Unpadded,
): AttentionPlan {
  const { q_lengths, qk_norm, dropout, empty_rows } = beside
  const scale = stack.scale ?? beside.scale
  const softcap = stack.softcap ?? beside.softcap
  const options = { q_lengths, kv_lengths: lengths, segments, qk_norm, dropout, scale, softcap, empty_rows }
  return planAttention(p, options, g, NO_PAST, { kv_lengths: '/context_lengths' })
}

/** Rows and keys stand behind what a state has seen, unless the request places them itself. */
function ropeFrom(rope: NonNullable<AttentionOptions['rope']>, position: number) {
  const { q_positions, k_positions } = rope
  return {
    ...rope,
    ...(q_positions === undefined && { q_offset: position }),
    ...(k_positions === undefined && { k_offset: position }),
  }
}

/** An option that is one for all layers, or a list by layer; and what tells it from others. */
function ofLayer<T extends object>(option: T | (T | null)[] | undefined, layer: number) {
  if (!Array.isArray(option)) return [option, 'all'] as const
  const value = option[layer] ?? undefined
  // a tensor is nobody else's
  const tensor = (_: string, member: unknown) =>
    (member as { bytes?: unknown } | null)?.bytes instanceof Uint8Array ? `tensor of ${layer}` : member
  return [value, JSON.stringify(value, tensor) ?? 'none'] as const
}

/** T5's biases are added in every layer, from a table among the parameters or beside the stack. */
export function relativeBiasOf(
  params: Params,
  stack: StackRequest,
  beside: BesideStack['relative_bias'],
  heads: number,
): BesideStack['relative_bias'] {
  const own = params.has('relative_bias.table')
  if (stack.relative_bias !== undefined && beside !== undefined) {
    throw bothProblem('', 'stack/relative_bias', 'relative_bias')
  }
  if (beside !== undefined) {
    if (own) throw bothProblem('', 'stack/params/relative_bias.table', 'relative_bias/table')
    return beside
  }
  if (stack.relative_bias === undefined && !own) return undefined
  const shape = [params.extent('relative_bias.table', 0) ?? BUCKETS, heads]
  const ref = params.take('relative_bias.table', shape, 'bias')
  return { ...(stack.relative_bias ?? stackBiasField.parse({})), table: { shape, ref } }
}

/** Sinks are parameters of a layer here, and options of a request elsewhere: what may not stand beside those may not beside these. */
export function refuseSinks(params: Param[], kind: BesideStack['attention_kind']): void {
  const sinks = params.find(({ name }) => name.endsWith('.attention.sinks'))
  if (sinks === undefined) return
  const given: VariantOptions & { sinks: true } = { sinks: true }
  refuseOptions(attentionKind(kind), given, { sinks: `/stack/params/${sinks.name}` })
}

/** What may stand in the stack or beside it. */
const EITHER = ['scale', 'softcap', 'window'] as const

/** Where the options of attention stand in the request. */
function pointersOf(stack: StackRequest, beside: BesideStack): Record<string, string> {
  for (const name of ['window', 'rope'] as const) {
    const list = stack[name]
    if (!Array.isArray(list) || list.length === stack.layers) continue
    const message = `expected one for each of stack/layers = ${stack.layers}, got ${list.length}`
    throw fieldProblem('INVALID_REQUEST', `/stack/${name}`, message)
  }
  const inStack = EITHER.filter(name => stack[name] !== undefined)
  for (const name of inStack) {
    if (beside[name] !== undefined) throw bothProblem('', `stack/${name}`, name)
  }
  const pointers = {
    queries: '/x',
    keys: '/x',
    alibi: '/stack/position',
    rope: '/stack/rope',
    causal: '/stack/causal',
    ...(stack.relative_bias && { relative_bias: '/stack/relative_bias' }),
    ...(beside.relative_bias &&
      'ref' in beside.relative_bias.table && { 'relative_bias.table': '/stack/params/relative_bias.table' }),
  }
  return { ...pointers, ...Object.fromEntries(inStack.map(name => [name, `/stack/${name}`])) }
}

function sharedOptions(stack: StackRequest, beside: BesideStack): AttentionOptions {
  return {
    ...beside,
    // without weights there are none to drop; that leaves the hidden units
    dropout: refusedBy(attentionKind(beside.attention_kind)).fields.includes('dropout')
      ? undefined
      : beside.dropout,
    causal: stack.causal,
    alibi: stack.position === 'alibi',
    scale: stack.scale ?? beside.scale,
    softcap: stack.softcap ?? beside.softcap,
  }
}

/** Each of them an object: what a library writes in another way has been read by its dialect. */
function windowsOf({ window }: StackRequest): Window | (Window | null)[] | undefined {
  if (isSpan(window)) refuseSpan('/stack/window')
  if (!Array.isArray(window)) return window
  return window.map((one, layer) => (isSpan(one) ? refuseSpan(`/stack/window/${layer}`) : one))
}

/** A gain belongs to an RMS norm, of which `qk_norm` says no more than eps. */
export function normOfGains(
  norm: AttentionOptions['qk_norm'] = { kind: 'rms', eps: 1e-6 },
  attention = 'attention',
) {
  if (norm !== 'l2' && norm.kind === 'rms') return norm
  const message = 'expected qk_norm of "kind":"rms" beside gains of queries and keys, got "l2"'
  throw fieldProblem('INVALID_REQUEST', `/stack/params/layers.0.${attention}.q_norm.gamma`, message)
}
