/** The variants of attention. A new one is a file beside these and a line in this list. */
import * as z from 'zod'
import { fieldProblem } from '../../../problem.ts'
import { block, local, softmax } from './exact.ts'
import { linear } from './linear.ts'
import { lsh } from './lsh.ts'
import { strided } from './strided.ts'
import type { Variant } from './variant.ts'

export const VARIANTS = {
  softmax,
  linear,
  lsh,
  local,
  strided,
  block,
}

export type VariantName = keyof typeof VARIANTS

/** A name stands for the object with its defaults. */
const named = z.enum(Object.keys(VARIANTS) as [VariantName, ...VariantName[]])

/** `attention_kind`: a name, or an object with a variant's own parameters. */
const field = z.union([named, lsh.schema!, local.schema!, strided.schema!, block.schema!])

export type AttentionKind = { kind: VariantName } & Record<string, unknown>

export function attentionKind(value: z.output<typeof field> = 'softmax'): AttentionKind {
  if (typeof value !== 'string') return value
  const { schema } = VARIANTS[value] as Variant
  return (schema?.parse({ kind: value }) ?? { kind: value }) as AttentionKind
}

/**
 * Backward, each block of keys goes through all rows again: where those of a head are apart, and many, that takes longer than putting
 * them in order once (docs/adr/0051-positions-first-is-read-in-place.md).
 */
const MOST_KEYS_BACKWARD = 256

/** Whether tensors with positions before heads are read as they are. `keys`: the most of a batch element, or of a sequence. */
export function readsPositionsFirst(
  value: z.output<typeof field> | undefined,
  keys: number,
  backward: boolean,
): boolean {
  const { positionsFirst = false } = VARIANTS[attentionKind(value).kind] as Variant
  return positionsFirst && !(backward && keys > MOST_KEYS_BACKWARD)
}

export const variantFields = {
  attention_kind: field
    .default('softmax')
    .describe(
      'What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, ' +
        'lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. ' +
        '2020). `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk ' +
        'of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. ' +
        '`strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with ' +
        '`previous` the block before too. All but `linear` are the exact softmax over those keys; a row without any is zeros. ' +
        '`linear` takes no scale, softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), entropy_weight, grad_weights, grad_logsumexp or maps; ' +
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

/** The kind, and what it may not go with beside the options of attention. */
export interface VariantOptions {
  attention_kind?: z.output<typeof field> | undefined
  compare_exact?: boolean | undefined
  return?: readonly string[] | undefined
  backward?:
    | { entropy_weight?: number | undefined; grad_weights?: unknown; grad_logsumexp?: unknown }
    | undefined
  dropout?: unknown
}

/** What of the loss there is no gradient of. */
const UNDIFFERENTIATED: Partial<
  Record<VariantName, ('entropy_weight' | 'grad_weights' | 'grad_logsumexp')[]>
> = {
  linear: ['entropy_weight', 'grad_weights', 'grad_logsumexp'],
  lsh: ['grad_weights'],
  strided: ['grad_weights'],
}

/** Throws the 400 that names the option which means nothing with this kind. `pointers`: where options stand, if elsewhere. */
export function refuseOptions(
  { kind }: AttentionKind,
  options: VariantOptions,
  pointers: Record<string, string> = {},
): void {
  const refuse = (pointer: string, message: string) => {
    throw fieldProblem('INVALID_REQUEST', pointer, message)
  }
  const without = `expected none beside "attention_kind":"${kind}", got one`
  const { fields, returns } = (VARIANTS[kind] as Variant).refused ?? { fields: [], returns: [] }
  for (const field of fields) {
    const value = (options as Record<string, unknown>)[field]
    if (value !== undefined && value !== false) refuse(pointers[field] ?? `/${field}`, without)
  }
  for (const [index, name] of (options.return ?? []).entries()) {
    if (returns.includes(name)) {
      refuse(`/return/${index}`, `expected what "attention_kind":"${kind}" has, got "${name}"`)
    }
  }
  for (const name of UNDIFFERENTIATED[kind] ?? []) {
    if (options.backward?.[name] !== undefined) refuse(`/backward/${name}`, without)
  }
  if (!options.compare_exact) return
  if (kind === 'softmax') refuse('/compare_exact', 'expected an approximation to compare, got softmax itself')
  if (options.dropout !== undefined) {
    refuse('/compare_exact', 'expected no dropout beside compare_exact, got one')
  }
}
