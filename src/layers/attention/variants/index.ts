/** The variants of attention. A new one is a file beside these and a line in this list. */
import * as z from 'zod'
import type { Ref } from '../../../../workers/contract.ts'
import type { TensorSource } from '../../../formats/tensor.ts'
import { type TensorKinds, tensorKinds } from '../../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem, fieldsProblem } from '../../../problem.ts'
import type { Differentiable } from '../../gradients.ts'
import type { OwnGradients } from '../softmax.ts'
import { block, local, softmax } from './exact.ts'
import { linear } from './linear.ts'
import { lsh } from './lsh.ts'
import { delta, gated, gatedDelta } from './recurrent.ts'
import { strided } from './strided.ts'
import type { GatedKind, Refused, Variant } from './variant.ts'

export const VARIANTS = {
  softmax,
  linear,
  lsh,
  local,
  strided,
  block,
  gated,
  delta,
  gated_delta: gatedDelta,
}

export type VariantName = keyof typeof VARIANTS
const NAMES = Object.keys(VARIANTS) as VariantName[]

/** A name stands for the object with its defaults; `gated_linear` is another for `gated`. */
const named = z.enum([...NAMES, 'gated_linear'] as [VariantName, ...VariantName[], 'gated_linear'])

/** `attention_kind`: a name, or an object with a variant's own parameters. */
function field(tensors: TensorKinds) {
  return z.union([
    named,
    linear.schema!(tensors),
    lsh.schema!(tensors),
    local.schema!(tensors),
    strided.schema!(tensors),
    block.schema!(tensors),
    gated.schema!(tensors),
    delta.schema!(tensors),
    gatedDelta.schema!(tensors),
  ])
}
export type KindField = z.output<ReturnType<typeof field>>

export type AttentionKind = { kind: VariantName } & GatedKind & Record<string, unknown>

export function attentionKind(value: KindField = 'softmax'): AttentionKind {
  if (typeof value === 'string') {
    const { schema } = VARIANTS[canonical(value)] as Variant
    const defaults = schema?.(NO_TENSORS).parse({ kind: value }) ?? { kind: value }
    return { ...defaults, kind: canonical(value), named: true }
  }
  return { ...value, kind: canonical(value.kind) }
}

const NO_TENSORS = tensorKinds(false)

function canonical(name: VariantName | 'gated_linear'): VariantName {
  return name === 'gated_linear' ? 'gated' : name
}

export function variantFields(tensors: TensorKinds) {
  return {
    attention_kind: field(tensors)
      .default('softmax')
      .describe(
        'What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, ' +
          'lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. ' +
          '2020); with `feature` `relu` or `identity` neither normalised nor unscaled, as ONNX has it: scale·φ(q)ᵀΣφ(k)vᵀ. `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk ' +
          'of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. ' +
          '`strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with ' +
          '`previous` the block before too. These are the exact softmax over those keys; a row without any is zeros. `gated`, `delta` ' +
          'and `gated_delta` are the recurrences of ONNX’s LinearAttention (opset 27) with `gates`: S = e^decay ⊙ S, then ' +
          'S = S + k·(β(v − Sᵀk))ᵀ (gated: S + k·vᵀ), o = scale·Sᵀq; causal by nature: `causal` may be left out, `false` is a 400, and ' +
          'there are as many keys as queries. Padding changes no state. `linear` ' +
          'and those take no softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), ' +
          'entropy_weight, grad_weights, grad_logsumexp or maps, elu1 no scale, those with gates no prefix_lengths and no past: `state` is theirs; ' +
          '`lsh` and `strided` take no mask, segments, alibi, relative_bias, grad_weights or dropped_weights. The answer says `approximation`.',
      ),
    compare_exact: z
      .boolean()
      .default(false)
      .describe(
        'with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs ' +
          '(in a stack, of each layer’s for its own input)',
      ),
  }
}

/** The kind, and what it may not go with beside the options of attention. */
export interface VariantOptions {
  attention_kind?: KindField | undefined
  compare_exact?: boolean | undefined
  return?: readonly string[] | undefined
  state?: unknown
  backward?:
    | { entropy_weight?: number | undefined; grad_weights?: unknown; grad_logsumexp?: unknown }
    | undefined
  dropout?: unknown
}

/** The 400 about an option that means nothing with this kind. */
function without(kind: string, pointer: string) {
  const message = `expected none beside "attention_kind":"${kind}", got one`
  return fieldProblem('INVALID_REQUEST', pointer, message)
}

/** What of the loss there is no gradient of, and where there are no scores. */
const UNDIFFERENTIATED: Partial<Record<VariantName, OfScores[]>> = {
  lsh: ['grad_weights'],
  strided: ['grad_weights'],
}
const OF_SCORES = ['entropy_weight', 'grad_weights', 'grad_logsumexp'] as const
type OfScores = (typeof OF_SCORES)[number]

/** Throws the 400 that names the option which means nothing with this kind. `pointers`: where options stand, if elsewhere. */
export function refuseOptions(
  kind: AttentionKind,
  options: VariantOptions,
  pointers: Record<string, string> = {},
): void {
  const { kind: name } = kind
  const { fields, returns } = refusedBy(kind)
  refuseState(kind, options)
  for (const field of fields) {
    const value = (options as Record<string, unknown>)[field]
    if (value !== undefined && value !== false) throw without(name, pointers[field] ?? `/${field}`)
  }
  for (const [index, asked] of (options.return ?? []).entries()) {
    if (!returns.includes(asked)) continue
    const message = `expected what "attention_kind":"${name}" has, got "${asked}"`
    throw fieldProblem('INVALID_REQUEST', `/return/${index}`, message)
  }
  const undifferentiated = returns.includes('entropy') ? OF_SCORES : UNDIFFERENTIATED[name]
  for (const term of undifferentiated ?? []) {
    if (options.backward?.[term] !== undefined) throw without(name, `/backward/${term}`)
  }
  if (!options.compare_exact) return
  const refuse = (message: string) => {
    throw fieldProblem('INVALID_REQUEST', '/compare_exact', message)
  }
  if (name === 'softmax') refuse('expected an approximation to compare, got softmax itself')
  if (options.dropout !== undefined) refuse('expected no dropout beside compare_exact, got one')
}

/** A state is for kinds that have one to hand on. */
function refuseState(kind: AttentionKind, options: VariantOptions): void {
  const returned = options.return?.indexOf('state') ?? -1
  if (options.state === undefined && returned < 0) return
  const path = options.state === undefined ? `/return/${returned}` : '/state'
  refuseBesideState(kind, options, path)
  if (options.state === undefined || !options.compare_exact) return
  throw bothProblem('', 'state', 'compare_exact')
}

/** `path`: where the state is given, or asked for. */
export function refuseBesideState(kind: AttentionKind, options: object, path: string): void {
  const { state, plainState } = VARIANTS[kind.kind] as Variant
  if (state !== undefined) {
    const given = options as Record<string, unknown>
    const name = plainState?.(kind)?.without.find(each => given[each] !== undefined)
    if (name === undefined) return
    const message = `expected no ${name} beside a state of "attention_kind":"${kind.kind}", got one`
    throw fieldsProblem('INVALID_REQUEST', [
      { path, message },
      { path: `/${name}`, message },
    ])
  }
  const message = `expected an attention_kind that has a state, got "${kind.kind}"`
  throw fieldsProblem('INVALID_REQUEST', [
    { path, message },
    { path: '/attention_kind', message },
  ])
}

/** Options and results that mean nothing beside a kind. */
export function refusedBy(kind: AttentionKind): Refused {
  const { refused = NOTHING } = VARIANTS[kind.kind] as Variant
  return typeof refused === 'function' ? refused(kind) : refused
}

const NOTHING: Refused = { fields: [], returns: [] }

/** Whether positions attend only to those before them: a kind may say so itself. Throws where the request says otherwise. */
export function causalOf<T>(
  kind: AttentionKind,
  causal: T | undefined,
  pointer = '/causal',
): T | true | undefined {
  if (!(VARIANTS[kind.kind] as Variant).causal) return causal
  if (causal !== false) return causal ?? true
  const message = `expected causal attention beside "attention_kind":"${kind.kind}", got causal false`
  throw fieldsProblem('INVALID_REQUEST', [
    { path: pointer, message },
    { path: '/attention_kind', message },
  ])
}

/** Inputs that only some kinds have: gates, and a state. */
export interface OwnInputs {
  /** by name, as in `grads` */
  sources: Record<string, TensorSource>
  /** what `wrt` may name */
  differentiable: Differentiable
}

/** What `wrt` may name of them in a request of one layer. */
export const OWN_NAMES = [
  'attention_kind',
  'attention_kind.gates',
  'attention_kind.gates.decay',
  'attention_kind.gates.beta',
  'state',
  'state.s',
] as const

/** `state`: of all layers, where they are several. */
export function ownInputs({
  attention_kind,
  state = {},
}: {
  attention_kind?: KindField | undefined
  state?: Record<string, TensorSource | undefined> | undefined
}): OwnInputs {
  const found: OwnInputs = { sources: {}, differentiable: {} }
  const kind = attentionKind(attention_kind)
  const { gates = {} } = kind
  const ofState = (VARIANTS[kind.kind] as Variant).plainState?.(kind)?.reason ?? false
  const note = (name: string, source: TensorSource | undefined, byDefault: boolean | string) => {
    if (source === undefined) return
    found.sources[name] = source
    found.differentiable[name] = byDefault
  }
  for (const [name, source] of Object.entries(gates)) note(`attention_kind.gates.${name}`, source, true)
  for (const [name, source] of Object.entries(state)) note(`state.${name}`, source, ofState)
  return found
}

/** Their gradients beside what they are of. */
export function ownGradients(
  { sources }: OwnInputs,
  gradients: OwnGradients = {},
  has: (name: string) => boolean,
): Record<string, [gradient: Ref | undefined, input: TensorSource]> {
  const wanted = Object.entries(sources).filter(([name]) => has(name))
  return Object.fromEntries(wanted.map(([name, source]) => [name, [gradients[name], source]]))
}
