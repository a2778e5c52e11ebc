import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildCase } from '../../test/support/attention-case.ts'
import { plainSpec } from '../../test/support/attention-spec.ts'
import { queryRow } from '../../workers/ops/attention/reference/attended.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { alibiSlopes } from './attention/biases.ts'
import { areaOf, type Places, rowMasks } from './attention/intervals.ts'

describe('ALiBi slopes', () => {
  it('are the paper’s for powers of two', () => {
    expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map(n => 2 ** -n))
    expect(alibiSlopes(1)).toEqual([2 ** -8])
  })

  it('follow its rule for other counts', () => {
    const sixteen = Array.from({ length: 16 }, (_, i) => 2 ** (-(i + 1) / 2))
    expect(alibiSlopes(12)).toEqual([...alibiSlopes(8), ...[0, 2, 4, 6].map(i => sixteen[i])])
    expect(alibiSlopes(3).length).toBe(3)
  })
})

it('the attended area is near what the reference attends to', () => {
  const specs = fc.record({
    queries: fc.integer({ min: 1, max: 70 }),
    keys: fc.integer({ min: 1, max: 70 }),
    causal: fc.boolean(),
    alignment: fc.constantFrom('top_left' as const, 'bottom_right' as const),
    windowLeft: fc.integer({ min: -1, max: 30 }),
    windowRight: fc.integer({ min: -1, max: 30 }),
    kvLengths: fc.option(fc.array(fc.nat(70), { minLength: 2, maxLength: 2 }), { nil: undefined }),
    qLengths: fc.option(fc.array(fc.nat(70), { minLength: 2, maxLength: 2 }), { nil: undefined }),
  })
  fc.assert(
    fc.property(specs, more => {
      const built = buildCase({ ...plainSpec, ...more, batch: 2 })
      let exact = 0
      for (let b = 0; b < 2; b++) {
        for (let i = 0; i < more.queries; i++) {
          const { lo, hi } = queryRow(built, built.args, b, 0, i)
          exact += Math.max(0, hi - lo)
        }
      }
      const { queries, keys, causal, alignment, windowLeft, windowRight } = more
      const window = {
        left: windowLeft < 0 ? null : windowLeft,
        right: windowRight < 0 ? null : windowRight,
      }
      // lengths are a mask by their presence alone: what they are stands in the places
      const given = {} as TensorSource
      const masks = rowMasks({
        causal: causal && alignment,
        window,
        q_lengths: built.qLengths && given,
        kv_lengths: built.kvLengths && given,
      })
      const places: Places = {
        geometry: { batch: 2, queries, keys },
        shift: built.args.shift,
        shifts: built.shifts,
        qLengths: built.qLengths,
        kvLengths: built.kvLengths,
        refs: {},
      }
      const estimate = areaOf(places, masks, 2)
      expect(Math.abs(estimate - exact)).toBeLessThanOrEqual(2 * (more.queries + more.keys))
    }),
    { numRuns: 500 },
  )
})
