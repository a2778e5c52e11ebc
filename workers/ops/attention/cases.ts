import * as fc from 'fast-check'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { jvpCase } from './jvp-cases.ts'
import * as op from './op.ts'

const NAMES = [
  'attentionForward',
  'attentionMaps',
  'attentionBackward',
  'attentionMaskGradient',
  'attentionDistanceGradient',
  'attentionJvp',
  'weightGradient',
  'softcapScores',
] as const

/** Which of an op's outputs are wanted; the first where it would be none. */
type Wanted = readonly boolean[]

function choose(wanted: Wanted, lengths: Record<string, number>): Record<string, number> {
  const entries = Object.entries(lengths)
  const some = entries.filter((_, index) => wanted[index])
  return Object.fromEntries(some.length > 0 ? some : entries.slice(0, 1))
}

function attentionCase(name: (typeof NAMES)[number], spec: AttentionSpec, wanted: Wanted): OpCase {
  if (name === 'attentionJvp') return jvpCase(spec, wanted)
  const float = name === 'attentionMaskGradient'
  const c: AttentionCase = buildCase(float ? { ...spec, maskKind: 'float' } : spec)
  const { args } = c
  const { batch, heads, queries, keys, dimK, dimV, parts } = args
  const rows = batch * heads * queries
  const random = randomTensors(spec.seed)
  const scores = given({
    q: c.q,
    k: c.k,
    mask: c.mask,
    slopes: c.slopes,
    intervals: c.intervals,
    shifts: c.shifts,
    ...(spec.seed % 3 === 0 && segments(spec.seed)),
  }) as Inputs
  /** ids in any order */
  function segments(seed: number) {
    const uniform = uniformNumbers(seed)
    const ids = (length: number) => Int32Array.from({ length }, () => Math.floor(4 * uniform()) - 1)
    const mixedSegments = new Int32Array(batch).fill(1)
    return { qSegments: ids(batch * queries), kvSegments: ids(batch * keys), mixedSegments }
  }
  const maps = {
    scores: rows * keys,
    maskedScores: rows * keys,
    weights: rows * keys,
    droppedWeights: rows * keys,
  }
  // no denominator of these scores, but one for every row: what units own does not depend on it
  const denominator = random(2 * rows, 1, 3)
  const backward = () => ({
    ...scores,
    v: c.v,
    output: random(rows * dimV),
    denominator,
    gradOutput: c.gradOutput,
    ...given({
      entropy: c.scalars && random(rows),
      scalars: c.scalars,
      weightTerms: wanted[3] && random(rows * keys),
      rowTerms: wanted[4] && random(rows),
    }),
  })
  switch (name) {
    case 'attentionForward': {
      const more = wanted[4] ? choose(wanted, maps) : {}
      const outputs = {
        output: rows * dimV,
        denominator: 2 * rows,
        logsumexp: rows,
        ...given({ entropy: wanted[5] && rows, maxima: wanted[3] && rows }),
        ...more,
      }
      return { op: op.attentionForward, args, inputs: { ...scores, v: c.v } as Inputs, outputs }
    }
    case 'attentionMaps':
      return { op: op.attentionMaps, args, inputs: { ...scores, denominator }, outputs: choose(wanted, maps) }
    case 'attentionBackward': {
      const keyRows = batch * args.kvHeads * keys
      const grads = choose(wanted, { gradQ: rows * dimK, gradK: keyRows * dimK, gradV: keyRows * dimV })
      const own = args.apart ? parts - 1 : Math.min(1, parts - 1)
      const ofParts = 'gradQ' in grads && { gradQParts: own * rows * dimK }
      const outputs = { ...grads, ...ofParts, delta: (args.apart ? parts : 1) * rows }
      return { op: op.attentionBackward, args, inputs: backward() as Inputs, outputs }
    }
    case 'attentionMaskGradient': {
      const outputs = { gradMask: c.gradMask?.length ?? 0 }
      return {
        op: op.attentionMaskGradient,
        args: { ...args, maskShape: c.maskShape },
        inputs: backward() as Inputs,
        outputs,
      }
    }
    case 'attentionDistanceGradient': {
      const distances = 2 * (queries + keys)
      const sizes = { distances, firstDistance: -queries - keys, parts: op.rowPartsOf(args) }
      const inputs = { ...backward(), distanceBiases: random(heads * distances) } as Inputs
      const outputs = { gradDistances: sizes.parts * heads * distances }
      return { op: op.attentionDistanceGradient, args: { ...args, ...sizes }, inputs, outputs }
    }
    case 'softcapScores': {
      const count = rows * keys
      const inputs = { x: random(count, 20) }
      return { op: op.softcapScores, args: { count, cap: 7 }, inputs, outputs: { y: count } }
    }
    case 'weightGradient': {
      const products = random(rows * keys).map((value, at) =>
        at % 7 === 3 ? Number.NEGATIVE_INFINITY : value,
      )
      const apart = c.scalars && { maskedScores: products, denominator, scalars: c.scalars }
      const outputs = { gradWeights: rows * keys }
      return { op: op.weightGradient, args, inputs: { products, ...apart }, outputs }
    }
  }
}

const sizes = { queries: [1, 17, 59], keys: [3, 97, 200], dimK: [5, 16], dimV: [7, 16] }
const specs = fc.oneof(attentionSpecs(sizes), attentionSpecs({ ...sizes, poison: true }))
const wanted = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 })

export const cases = fc
  .tuple(fc.constantFrom(...NAMES), specs, wanted)
  .map(([name, spec, wanted]) => attentionCase(name, spec, wanted))

const every = [true, true, true, true, true, true]
export const empty: OpCase[] = NAMES.flatMap(name =>
  [{ batch: 0 }, { queries: 0 }, { keys: 0 }].map(size =>
    attentionCase(name, { ...plainSpec, ...size }, every),
  ),
)
