import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase } from '../../../test/support/op-case.ts'
import { headOrder, sequencePlaces } from './op.ts'

const FORMS = ['toHeads', 'toPositions', 'toRows', 'fromRows'] as const

interface Spec {
  form: (typeof FORMS)[number]
  lengths: number[]
  heads: number
  apart: boolean
}

const specs: fc.Arbitrary<Spec> = fc.record({
  form: fc.constantFrom(...FORMS),
  lengths: fc.nat().chain(seed => {
    const uniform = uniformNumbers(seed)
    return fc.integer({ min: 1, max: 9 }).map(n => Array.from({ length: n }, () => Math.floor(uniform() * 6)))
  }),
  heads: fc.constantFrom(1, 2, 5),
  apart: fc.boolean(),
})

function placesCase({ lengths, heads: first }: Spec): OpCase {
  const offsets = new Int32Array(lengths.length + 1)
  for (const [s, length] of lengths.entries()) offsets[s + 1] = offsets[s] + length
  const positions = offsets[lengths.length]
  const args = { sequences: lengths.length, positions, first }
  return { op: sequencePlaces, args, inputs: { offsets }, outputs: { places: positions } }
}

/** Sequences of these lengths, or of the first one's all. */
function headOrderCase({ form, lengths, heads, apart }: Spec): OpCase {
  const offsets = [0]
  for (const length of lengths) offsets.push((offsets.at(-1) ?? 0) + (apart ? length : lengths[0]))
  const positions = offsets.at(-1) ?? 0
  const inputs = given<Int32Array>({ offsets: apart && Int32Array.from(offsets) })
  const args = { form, sequences: lengths.length, positions, heads }
  return { op: headOrder, args, inputs, outputs: { order: positions * heads } }
}

export const cases = fc.oneof(specs.map(headOrderCase), specs.map(placesCase))

export const empty: OpCase[] = [
  headOrderCase({ form: 'toHeads', lengths: [], heads: 2, apart: false }),
  headOrderCase({ form: 'toRows', lengths: [0, 0], heads: 2, apart: true }),
  placesCase({ form: 'toRows', lengths: [0, 0], heads: 2, apart: true }),
]
