import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RUNNERS } from '../../../test/support/op-runner.ts'
import { bucketsCase, lshSpecs } from './cases.ts'

const [truth, , ...variants] = RUNNERS

describe.each(variants)('$name kernels', ({ run }) => {
  it('hash into the same buckets, all of which there are', () => {
    fc.assert(
      fc.property(lshSpecs, spec => {
        const c = bucketsCase(spec)
        const { buckets } = run(c, {}).outputs
        expect(buckets).toEqual(truth.run(c, {}).outputs.buckets)
        const all = spec.factors.reduce((product, factor) => product * factor, 1)
        expect(buckets.every(bucket => bucket >= 0 && bucket < all)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})
