/** `attention_kind`: softmax attention, or an approximation of it. */
import * as z from 'zod'

const MOST_POSITIONS = 2 ** 30
const positions = () => z.int().min(1).max(MOST_POSITIONS)

const lsh = z
  .strictObject({
    kind: z.literal('lsh'),
    rounds: z
      .int()
      .min(1)
      .max(16)
      .default(2)
      .describe('independent hashes; a pair found by several counts once'),
    buckets: z
      .int()
      .min(1)
      .max(65536)
      .refine(value => value === 1 || value % 2 === 0, { error: 'expected 1 or an even number' })
      .optional()
      .describe('buckets a round, 1 or even; default: the power of two at or above M/chunk, at least 2'),
    chunk: positions().default(64).describe('sorted keys a chunk'),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe('of the random rotations'),
  })
  .meta({ id: 'LshAttention' })

const local = z
  .strictObject({ kind: z.literal('local'), window: z.int().min(0).max(MOST_POSITIONS).default(64) })
  .meta({ id: 'LocalAttention' })

const strided = z
  .strictObject({ kind: z.literal('strided'), stride: positions().default(64) })
  .meta({ id: 'StridedAttention' })

const block = z
  .strictObject({
    kind: z.literal('block'),
    size: positions().default(64),
    previous: z.boolean().default(false).describe('the block before it as well'),
  })
  .meta({ id: 'BlockAttention' })

/** A name stands for the object with its defaults. */
const named = z.enum(['softmax', 'linear', 'lsh', 'local', 'strided', 'block'])

const DEFAULTS = {
  softmax: { kind: 'softmax' },
  linear: { kind: 'linear' },
  lsh: lsh.parse({ kind: 'lsh' }),
  local: local.parse({ kind: 'local' }),
  strided: strided.parse({ kind: 'strided' }),
  block: block.parse({ kind: 'block' }),
} as const

/** The kind and its parameters. `buckets` has a default that depends on the keys. */
export type AttentionKind =
  | { kind: 'softmax' | 'linear' }
  | z.output<typeof lsh>
  | z.output<typeof local>
  | z.output<typeof strided>
  | z.output<typeof block>

export function attentionKind(value: AttentionKindField = 'softmax'): AttentionKind {
  return typeof value === 'string' ? DEFAULTS[value] : value
}

type AttentionKindField = z.output<typeof named> | Exclude<AttentionKind, { kind: 'softmax' | 'linear' }>

export const attentionKindFields = {
  attention_kind: z
    .union([named, lsh, local, strided, block])
    .default('softmax')
    .describe(
      'What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, ' +
        'lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. ' +
        '2020). `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk ' +
        'of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. ' +
        '`strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with ' +
        '`previous` the block before too. All but `linear` are the exact softmax over those keys; a row without any is zeros. ' +
        '`linear` takes no scale, softcap, mask, window, alibi, dropout (in a stack, dropout of hidden units alone), entropy_weight or maps; ' +
        '`lsh` and `strided` take no mask, alibi or dropped_weights. The answer says `approximation`.',
    ),
  compare_exact: z
    .boolean()
    .default(false)
    .describe(
      'with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs ' +
        '(in a stack, of each layer’s for its own input)',
    ),
}
