import * as fc from 'fast-check'
import { given, type OpCase, randomTensors, withNaN } from '../../../test/support/op-case.ts'
import { plainBackward, plainForward } from '../../../test/support/plain-recurrent.ts'
import * as op from './op.ts'

const KINDS = ['linear', 'gated', 'gated by head', 'delta', 'gated delta', 'gated delta by head'] as const
const NAMES = ['recurrentForward', 'recurrentBackward', 'decayFactors', 'sumOverHeads'] as const

const size = (...values: number[]) => fc.constantFrom(...values)

const specs = fc.record({
  name: fc.constantFrom(...NAMES, ...NAMES.slice(0, 2), ...NAMES.slice(0, 2)),
  kind: fc.constantFrom(...KINDS),
  batch: size(1, 2),
  kvHeads: size(1, 2),
  group: size(1, 2),
  queries: size(1, 17, 65, 70),
  keys: size(1, 7, 65, 70),
  dimK: size(1, 5, 8, 16),
  dimV: size(1, 7, 16, 18),
  causal: fc.boolean(),
  lengths: fc.boolean(),
  initial: fc.boolean(),
  oneBeta: fc.boolean(),
  wanted: fc.boolean(),
  nonFinite: fc.boolean(),
  live: fc.integer({ min: 0, max: 70 }),
  seen: fc.integer({ min: 0, max: 70 }),
  seed: fc.nat(),
})
type Spec = typeof specs extends fc.Arbitrary<infer S> ? S : never

function argsOf(spec: Spec): op.RecurrentArgs {
  const { kind, batch, kvHeads, group, queries, keys, dimK, dimV, causal, nonFinite, oneBeta } = spec
  return {
    batch,
    heads: kvHeads * group,
    kvHeads,
    queries,
    keys,
    dimK,
    dimV,
    scale: Math.fround(1 / Math.sqrt(dimK)),
    intervalStrides: [causal && spec.lengths ? queries : 0, 0],
    decayDims: !kind.startsWith('gated') ? 0 : kind.endsWith('by head') ? 1 : dimK,
    betaHeads: kind.includes('delta') ? (oneBeta ? 1 : kvHeads) : 0,
    nonFinite,
  }
}

/** Row i attends to the keys up to its own place, from the right. */
function intervalsOf({ batch, queries, keys, lengths, live, seen }: Spec): Int32Array {
  const batches = lengths ? batch : 1
  const intervals = new Int32Array(2 * batches * queries)
  for (let row = 0; row < batches * queries; row++) {
    const i = row % queries
    const to = Math.max(0, Math.min(lengths ? seen : keys, i + 1 + keys - queries))
    intervals.set(lengths && i >= live ? [keys, keys] : [0, to], 2 * row)
  }
  return intervals
}

function recurrentCase(spec: Spec): OpCase {
  const { name, queries, keys, batch, dimK, dimV, kvHeads, lengths, initial, causal, wanted, seed } = spec
  const args = argsOf(spec)
  const random = randomTensors(seed)
  const [rows, keyRows] = [batch * args.heads * queries, batch * kvHeads * keys]
  const gates = batch * keys * kvHeads
  if (name === 'decayFactors' || name === 'sumOverHeads') {
    const of = { rows: batch * keys, width: kvHeads * dimK }
    const count = of.rows * of.width
    if (name === 'decayFactors') {
      return { op: op.decayFactors, args: of, inputs: { decay: random(count) }, outputs: { factors: count } }
    }
    return { op: op.sumOverHeads, args: of, inputs: { x: random(count) }, outputs: { y: of.rows } }
  }
  const state = batch * kvHeads * dimK * dimV
  const states = state * op.recurrentChunks(args)
  const [live, seen] = [Math.min(queries, spec.live), Math.min(keys, spec.seen)]
  const each = (length: number) => Int32Array.from({ length: batch }, () => length)
  const inputs = given({
    q: random(rows * dimK),
    k: random(keyRows * dimK, 1 / Math.sqrt(dimK)),
    v: random(keyRows * dimV),
    factors:
      args.decayDims > 0 && random(gates * args.decayDims).map(x => Math.fround(Math.exp(-Math.abs(x) / 4))),
    beta: args.betaHeads > 0 && random(batch * keys * args.betaHeads).map(x => Math.fround(1 / (1 + x * x))),
    intervals: causal && intervalsOf(spec),
    qLengths: lengths && each(live),
    kvLengths: lengths && each(seen),
    initial: initial && random(state),
  })
  const padded = (of: number, from: number, positions: number, dim: number): [number, number][] =>
    Array.from({ length: lengths ? of : 0 }, (_, head) => [
      (head * positions + from) * dim,
      (head + 1) * positions * dim,
    ])
  const hiddenOf = (all: OpCase['inputs']) =>
    withNaN(all, {
      q: padded(batch * args.heads, live, queries, dimK),
      gradOutput: padded(batch * args.heads, live, queries, dimV),
      k: padded(batch * kvHeads, seen, keys, dimK),
      v: padded(batch * kvHeads, seen, keys, dimV),
      factors: padded(batch, seen, keys, kvHeads * args.decayDims),
      beta: padded(batch, seen, keys, args.betaHeads),
    })
  const again = (seed: number) => recurrentCase({ ...spec, seed })
  if (name === 'recurrentForward') {
    const outputs = given({ output: rows * dimV, states: wanted && states, state })
    const c: OpCase = { op: op.recurrentForward, args, inputs, outputs, hidden: hiddenOf(inputs), again }
    return { ...c, plain: order => plainForward(c, order) }
  }
  const all = { ...inputs, states: random(states), gradOutput: random(rows * dimV) }
  const outputs = given({
    gradQ: wanted && rows * dimK,
    gradK: wanted && keyRows * dimK,
    gradV: wanted && keyRows * dimV,
    gradDecay: wanted && args.decayDims > 0 && gates * args.decayDims,
    gradBeta: wanted && args.betaHeads > 0 && gates,
    gradState: state,
  })
  const c: OpCase = { op: op.recurrentBackward, args, inputs: all, outputs, hidden: hiddenOf(all), again }
  return { ...c, plain: order => plainBackward(c, order) }
}

export const cases = specs.map(recurrentCase)

const none: Omit<Spec, 'name'> = {
  kind: 'gated delta',
  batch: 1,
  kvHeads: 1,
  group: 2,
  queries: 0,
  keys: 3,
  dimK: 2,
  dimV: 2,
  causal: true,
  lengths: false,
  initial: true,
  oneBeta: false,
  wanted: true,
  nonFinite: false,
  live: 0,
  seen: 0,
  seed: 1,
}
export const empty: OpCase[] = NAMES.flatMap(name => [
  recurrentCase({ name, ...none }),
  recurrentCase({ name, ...none, queries: 3, keys: 0, causal: false }),
  recurrentCase({ name, ...none, batch: 0 }),
])
