/** The hashes of LSH attention: random rotations, and the buckets of queries and of keys in every round. */
import { lshBuckets, lshRotations } from '../../../../workers/ops/lsh/op.ts'
import type { Pass } from '../../../../workers/pass-args.ts'
import type { AttentionArgs, Ref } from '../../../../workers/task.ts'
import type { ProgramBuilder } from '../../../program.ts'
import type { Scores } from '../softmax.ts'
import type { AttentionKind } from './fields.ts'
import { type PassPlan, planPasses } from './passes.ts'

/** More buckets than this are split into two factors: the columns of a rotation are then a sum, not a product. */
const ONE_FACTOR = 64

type Lsh = Extract<AttentionKind, { kind: 'lsh' }>

/** Hashes q and k, which are ready by now, and sorts them. */
export function planLsh(p: ProgramBuilder, scores: Scores, { rounds, chunk, seed, ...kind }: Lsh): PassPlan {
  const { args: a, q, k, qLengths, kvLengths } = scores
  const buckets = kind.buckets ?? defaultBuckets(a, chunk)
  const pass: Pass = { by: buckets === 1 ? 'whole' : 'hash', buckets, chunk, reach: -1 }
  const passes = Array.from({ length: rounds }, () => pass)
  if (buckets === 1) return planPasses(p, a, passes.slice(0, 1), { qLengths, kvLengths })
  const factors = factorsOf(buckets)
  const columns = factors.reduce((sum, factor) => sum + factor / 2, 0)
  const rotation = {
    ...{ rounds, dim: a.dimK, factors },
    ...{ seedLow: seed % 2 ** 32, seedHigh: Math.floor(seed / 2 ** 32) },
  }
  const rotations = p.buffer({ type: 'float64', length: rounds * columns * a.dimK })
  p.stage(p.step(lshRotations, { rotations }, rotation))
  const hash = (x: Ref, rows: number) => {
    const into = p.buffer({ type: 'int32', length: rounds * rows })
    const step = p.step(lshBuckets, { x, rotations, buckets: into }, { ...rotation, rows })
    return { step, into }
  }
  const forQ = hash(q, a.batch * a.heads * a.queries)
  const forK = hash(k, a.batch * a.kvHeads * a.keys)
  p.stage(forQ.step, forK.step)
  return planPasses(p, a, passes, { qLengths, kvLengths }, { q: forQ.into, k: forK.into })
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
