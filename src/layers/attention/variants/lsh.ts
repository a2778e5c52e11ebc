/** LSH attention: random rotations hash queries and keys into buckets, in every round. Kitaev et al. 2020 (Reformer). */
import * as z from 'zod'
import type { Ref } from '../../../../workers/contract.ts'
import type { AttentionArgs } from '../../../../workers/ops/attention/op.ts'
import { columnCount, lshBuckets, lshRotations } from '../../../../workers/ops/lsh/op.ts'
import type { Pass } from '../../../../workers/ops/passes/op.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { Scores } from '../softmax.ts'
import { type PassPlan, passesForward, planPasses } from './passes.ts'
import { defineVariant, MOST_POSITIONS, type VariantContext } from './variant.ts'

/** More buckets than this are split into two factors: the columns of a rotation are then a sum, not a product. */
const ONE_FACTOR = 64

const schema = z
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
    chunk: z.int().min(1).max(MOST_POSITIONS).default(64).describe('sorted keys a chunk'),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe('of the random rotations'),
  })
  .meta({ id: 'LshAttention' })

export const lsh = defineVariant({
  schema: () => schema,
  refused: {
    fields: ['mask', 'segments', 'alibi', 'relative_bias', 'cu_seqlens_q'],
    returns: ['dropped_weights'],
  },
  plan: (_, context, kind) => (p, scores, v, requested) =>
    passesForward(p, scores, v, planLsh(p, context, scores, kind), requested),
})

/** Hashes q and k, which are ready by now, and sorts them. */
function planLsh(
  p: RequestProgram,
  context: VariantContext,
  { args: a, q, k }: Scores,
  { rounds, chunk, seed, ...kind }: z.output<typeof schema>,
): PassPlan {
  const buckets = kind.buckets ?? defaultBuckets(a, chunk)
  const pass: Pass = { by: buckets === 1 ? 'whole' : 'hash', buckets, chunk, reach: -1 }
  const passes = Array.from({ length: rounds }, () => pass)
  if (buckets === 1) return planPasses(p, context, passes.slice(0, 1))
  const factors = factorsOf(buckets)
  const rotation = {
    rounds,
    dim: a.dimK,
    factors,
    seedLow: seed % 2 ** 32,
    seedHigh: Math.floor(seed / 2 ** 32),
  }
  const rotations = p.buffer({ type: 'float64', length: rounds * columnCount({ factors }) * a.dimK })
  p.stage(p.step(lshRotations, { rotations }, rotation))
  const hash = (x: Ref, rows: number) => {
    const into = p.buffer({ type: 'int32', length: rounds * rows })
    const step = p.step(lshBuckets, { x, rotations, buckets: into }, { ...rotation, rows })
    return { step, into }
  }
  const forQ = hash(q, a.batch * a.heads * a.queries)
  const forK = hash(k, a.batch * a.kvHeads * a.keys)
  p.stage(forQ.step, forK.step)
  return planPasses(p, context, passes, { q: forQ.into, k: forK.into })
}

/** The power of two at or above keys/chunk, so that a bucket has about a chunk of keys. */
function defaultBuckets({ keys }: AttentionArgs, chunk: number): number {
  return Math.min(65536, Math.max(2, 2 ** Math.ceil(Math.log2(Math.max(1, keys / chunk)))))
}

/** Two even factors, as near to each other as can be; one where there are few buckets or no such factors. */
function factorsOf(buckets: number): number[] {
  if (buckets <= ONE_FACTOR) return [buckets]
  for (let factor = 2 * Math.floor(Math.sqrt(buckets) / 2); factor > 2; factor -= 2) {
    if (buckets % factor === 0 && (buckets / factor) % 2 === 0) return [factor, buckets / factor]
  }
  return [buckets]
}
