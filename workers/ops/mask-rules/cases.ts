import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type Input, type OpCase } from '../../../test/support/op-case.ts'
import { COUNTED_ROWS, countPairs, ruleBits } from './op.ts'

export interface RuleSpec {
  batch: number
  heads: number
  queries: number
  keys: number
  rules: number
  mask: 'none' | 'bool' | 'float' | 'columns'
  segments: boolean
  packed: boolean
  seed: number
}

/** Tensors and arguments that both ops share. */
export function rulesOf({ batch, heads, queries, keys, rules, mask, segments, packed, seed }: RuleSpec) {
  const uniform = uniformNumbers(seed)
  const upTo = (most: number) => Math.floor(uniform() * (most + 1))
  const pairs = queries * keys
  const apart = mask === 'bool' || mask === 'float'
  const maskOf = (length: number): Input =>
    mask === 'float'
      ? Float64Array.from({ length }, () => (uniform() < 0.5 ? Number.NEGATIVE_INFINITY : 1))
      : Uint8Array.from({ length }, () => upTo(1))
  const starts = (extent: number) => Int32Array.of(0, upTo(extent), extent)
  const intervals = new Int32Array(2 * rules * batch * queries)
  for (let at = 0; at < intervals.length; at += 2) {
    intervals[at] = upTo(keys)
    intervals[at + 1] = intervals[at] + upTo(keys - intervals[at])
  }
  const ids = (length: number) => Int32Array.from({ length }, () => upTo(3) - 1)
  const inputs = given<Input>({
    intervals: rules > 0 && intervals,
    mask: mask !== 'none' && maskOf(apart ? batch * heads * pairs : keys),
    qSegments: segments && ids(batch * queries),
    kvSegments: segments && ids(batch * keys),
    cuQ: packed && starts(queries),
    cuK: packed && starts(keys),
  })
  const maskStrides = apart ? [heads * pairs, pairs, keys, 1] : [0, 0, 0, 1]
  return {
    inputs,
    args: { batch, intervalBatch: Math.max(1, batch), heads, queries, keys, rules, maskStrides },
  }
}

export const ruleSpecs = fc
  .record({
    batch: fc.constantFrom(1, 2),
    heads: fc.constantFrom(1, 3),
    queries: fc.constantFrom(1, 5, 40),
    keys: fc.constantFrom(1, 7, 20),
    rules: fc.constantFrom(0, 1, 3),
    mask: fc.constantFrom('none' as const, 'bool' as const, 'float' as const, 'columns' as const),
    segments: fc.boolean(),
    packed: fc.boolean(),
    seed: fc.nat(),
  })
  .map(spec => {
    const packed = spec.packed && spec.batch === 1 && spec.mask === 'none' && !spec.segments
    return { ...spec, packed }
  })

export function counting(spec: RuleSpec): OpCase {
  const { inputs, args } = rulesOf(spec)
  const rows = spec.batch * spec.heads * spec.queries
  const all = spec.rules + ['mask', 'qSegments', 'cuQ'].filter(name => inputs[name] !== undefined).length
  const outputs = { counts: Math.ceil(rows / COUNTED_ROWS) * (1 + 2 * all), attended: rows }
  return { op: countPairs, args, inputs, outputs }
}

export function bitsOf(spec: RuleSpec, row = -1): OpCase {
  const { inputs, args } = rulesOf(spec)
  const rows = row < 0 ? spec.batch * spec.heads * spec.queries : 1
  return { op: ruleBits, args: { ...args, row }, inputs, outputs: { bits: rows * spec.keys } }
}

export const cases = fc.tuple(ruleSpecs, fc.boolean()).map(([spec, count]) => {
  return count ? counting(spec) : bitsOf(spec, spec.seed % 2 === 0 ? spec.seed % spec.queries : -1)
})

const some: RuleSpec = {
  ...{ batch: 2, heads: 2, queries: 3, keys: 4, rules: 2 },
  ...{ mask: 'bool', segments: true, packed: false, seed: 1 },
}
export const empty: OpCase[] = [{ batch: 0 }, { queries: 0 }, { keys: 0 }].flatMap(none => [
  counting({ ...some, ...none }),
  bitsOf({ ...some, ...none }),
])
