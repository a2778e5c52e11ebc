/** Counts and bits against every rule asked of every pair. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { ruleSpecs, rulesOf } from './cases.ts'
import { countPairs, ruleBits } from './kernel.ts'
import { COUNTED_ROWS } from './op.ts'

it('each pair has the rules that forbid it, and they are counted', () => {
  fc.assert(
    fc.property(ruleSpecs, spec => {
      const { inputs, args } = rulesOf(spec)
      const { batch, heads, queries, keys, rules } = args
      const { intervals, mask, qSegments, kvSegments, cuQ, cuK } = inputs as Record<string, Int32Array>
      const rows = batch * heads * queries
      const others = [mask, qSegments, cuQ].filter(tensor => tensor !== undefined).length
      const wanted = new Array(1 + 2 * (rules + others)).fill(0)
      const bits = new Uint8Array(rows * keys)
      ruleBits({ ...(inputs as object), bits }, { ...args, row: -1 }, 0, rows)
      for (let pair = 0; pair < rows * keys; pair++) {
        const [row, j] = [Math.floor(pair / keys), pair % keys]
        const [b, h, i] = [
          Math.floor(row / (heads * queries)),
          Math.floor(row / queries) % heads,
          row % queries,
        ]
        const s = cuQ === undefined ? 0 : cuQ.findLastIndex(start => start <= i && start < queries)
        const inside = cuK === undefined || (j >= cuK[s] && j < cuK[s + 1])
        const first = cuK?.[s] ?? 0
        const forbids: boolean[] = []
        for (let rule = 0; rule < rules; rule++) {
          const [lo, hi] = intervals.subarray(2 * ((rule * batch + b) * queries + i))
          forbids.push(inside && !(j - first >= lo && j - first < hi))
        }
        if (mask !== undefined) {
          const [ofBatch, ofHead, ofRow, ofKey] = args.maskStrides
          const element = mask[b * ofBatch + h * ofHead + i * ofRow + j * ofKey]
          forbids.push(mask instanceof Uint8Array ? element === 0 : element === Number.NEGATIVE_INFINITY)
        }
        if (qSegments !== undefined) {
          const id = qSegments[b * queries + i]
          forbids.push(id < 0 || id !== kvSegments[b * keys + j])
        }
        if (cuQ !== undefined) forbids.push(!inside)
        const count = forbids.filter(Boolean).length
        expect(bits[pair]).toBe(forbids.reduce((sum, no, rule) => sum + (no ? 2 ** rule : 0), 0))
        if (count === 0) wanted[0]++
        for (const [rule, no] of forbids.entries()) {
          wanted[1 + 2 * rule] += Number(no)
          wanted[2 + 2 * rule] += Number(no && count === 1)
        }
      }
      const units = Math.ceil(rows / COUNTED_ROWS)
      const counts = new Float64Array(units * wanted.length)
      const attended = new Float64Array(rows)
      countPairs({ ...(inputs as object), counts, attended }, args, 0, units)
      const found = wanted.map((_, at) =>
        counts.reduce((sum, n, k) => sum + (k % wanted.length === at ? n : 0), 0),
      )
      expect(found).toEqual(wanted)
      expect(attended.reduce((sum, n) => sum + n, 0)).toBe(wanted[0])
    }),
    { numRuns: 200 },
  )
})
