import * as fc from 'fast-check'
import { given, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import * as op from './op.ts'

const NAMES = [
  'linearStates',
  'linearStateSums',
  'linearAttentionForward',
  'linearAttentionDelta',
  'linearAttentionBackwardQuery',
  'linearAttentionBackwardKey',
] as const

const size = (...values: number[]) => fc.constantFrom(...values)

const specs = fc.record({
  name: fc.constantFrom(...NAMES),
  batch: size(1, 2),
  kvHeads: size(1, 2),
  group: size(1, 2),
  queries: size(1, 17, 97, 200),
  keys: size(1, 7, 97, 200),
  dimK: size(1, 5, 16),
  dimV: size(1, 7, 16),
  causal: fc.boolean(),
  nonFinite: fc.boolean(),
  side: fc.constantFrom('keys' as const, 'queries' as const),
  live: fc.integer({ min: 0, max: 200 }),
  gradK: fc.boolean(),
  gradV: fc.boolean(),
  handedOn: fc.boolean(),
  seed: fc.nat(),
})
type Spec = typeof specs extends fc.Arbitrary<infer S> ? S : never

/** Row i of n attends to the keys up to its own place, from the right; rows from `live` on are padding. */
function intervalsOf({ batch, queries, keys, live }: Spec): Int32Array {
  const intervals = new Int32Array(2 * batch * queries)
  for (let row = 0; row < batch * queries; row++) {
    const i = row % queries
    const to = Math.max(0, Math.min(keys, i + 1 + keys - queries))
    intervals.set(i < live ? [0, to] : [keys, keys], 2 * row)
  }
  return intervals
}

function linearCase(spec: Spec): OpCase {
  const { name, batch, kvHeads, group, queries, keys, dimK, dimV, causal, nonFinite, side, seed } = spec
  const heads = kvHeads * group
  const args = {
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    dimK,
    dimV,
    intervalStrides: [queries, 0] as [number, number],
    causal,
    nonFinite,
    side,
  }
  const random = randomTensors(seed)
  const [rows, keyRows] = [batch * heads * queries, batch * kvHeads * keys]
  const length = op.stateLength(args)
  const sumsOf = (positions: number) => batch * kvHeads * op.stateSums(args, positions) * length
  const [own, positions] = side === 'keys' ? [keyRows, keys] : [rows, queries]
  const states = batch * (side === 'keys' ? kvHeads : heads) * op.linearChunks(positions) * length
  const intervals = causal && intervalsOf(spec)
  const shared = () => ({
    q: random(rows * dimK),
    k: random(keyRows * dimK),
    v: random(keyRows * dimV),
    intervals,
  })
  // most rows have no scale
  const rowScale = random(rows).map((value, row) => (row % 7 === 0 ? 30 * value : 0))
  const backward = () => ({
    ...shared(),
    scaled: random(rows * dimV),
    gradNormaliser: random(rows),
    rowScale,
  })
  switch (name) {
    case 'linearStates':
      return {
        op: op.linearStates,
        args,
        inputs: given({
          x: random(own * dimK),
          y: random(own * dimV),
          w: side === 'queries' && random(own),
          rowScale: side === 'queries' && rowScale,
          intervals,
        }),
        outputs: { states },
      }
    case 'linearStateSums': {
      const handedOn = side === 'keys' && spec.handedOn && batch * kvHeads * length
      return {
        op: op.linearStateSums,
        args,
        inputs: given({ states: random(states), initial: handedOn !== false && random(handedOn) }),
        outputs: given({ sums: !(handedOn && spec.gradK) && sumsOf(positions), final: handedOn }),
      }
    }
    case 'linearAttentionForward': {
      const inputs = given({ ...shared(), sums: random(sumsOf(keys)) })
      return {
        op: op.linearAttentionForward,
        args,
        inputs,
        outputs: { output: rows * dimV, normaliser: rows, rowScale: rows },
      }
    }
    case 'linearAttentionDelta': {
      const inputs = {
        output: random(rows * dimV),
        gradOutput: random(rows * dimV),
        // a row that attends to nothing has 0
        normaliser: random(rows).map((value, row) => (row % 5 === 0 ? 0 : 1 + Math.abs(value))),
      }
      return {
        op: op.linearAttentionDelta,
        args,
        inputs,
        outputs: { scaled: rows * dimV, gradNormaliser: rows },
      }
    }
    case 'linearAttentionBackwardQuery': {
      const inputs = given({ ...backward(), sums: random(sumsOf(keys)) })
      return { op: op.linearAttentionBackwardQuery, args, inputs, outputs: { gradQ: rows * dimK } }
    }
    case 'linearAttentionBackwardKey': {
      const inputs = given({ ...backward(), sums: random(sumsOf(queries)) })
      const gradK = (spec.gradK || !spec.gradV) && keyRows * dimK
      return {
        op: op.linearAttentionBackwardKey,
        args,
        inputs,
        outputs: given({ gradK, gradV: spec.gradV && keyRows * dimV }),
      }
    }
  }
}

export const cases = specs.map(linearCase)

const none: Omit<Spec, 'name'> = {
  batch: 1,
  kvHeads: 1,
  group: 2,
  queries: 0,
  keys: 3,
  dimK: 2,
  dimV: 2,
  causal: true,
  nonFinite: false,
  side: 'queries',
  live: 0,
  gradK: true,
  gradV: true,
  handedOn: true,
  seed: 1,
}
export const empty: OpCase[] = NAMES.flatMap(name => [
  linearCase({ name, ...none }),
  linearCase({ name, ...none, queries: 3, keys: 0, side: 'keys', causal: false }),
])
