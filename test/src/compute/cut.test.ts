import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Cut, type Part } from '../../../src/compute/cut.ts'
import type { Step } from '../../../workers/program.ts'

const step = (chains: number, chain: number): Step => ({
  op: 'lossTotal',
  tensors: { scalars: 0 },
  args: { rows: 1, entropyWeight: 0 },
  phase: 'compute',
  units: chains * chain,
  chain,
  flops: 0,
  bytes: 0,
})

it('every unit runs once, chains in order and never two parts of one at a time', () => {
  const cases = fc.record({
    chains: fc.integer({ min: 1, max: 20 }),
    chain: fc.integer({ min: 1, max: 9 }),
    parts: fc.double({ min: 0.01, max: 40, noNaN: true }),
    choices: fc.infiniteStream(fc.nat(9)),
  })
  fc.assert(
    fc.property(cases, ({ chains, chain, parts, choices }) => {
      const cut = new Cut(step(chains, chain), parts)
      const done: number[] = []
      const running: Part[] = []
      while (!cut.finished) {
        const [choice] = choices.take(1)
        const part = choice < 6 ? cut.next() : undefined
        if (part !== undefined && choice === 5) cut.giveBack(part)
        else if (part !== undefined) running.push(part)
        else if (running.length > 0) {
          const [ended] = running.splice(choice % running.length, 1)
          for (let unit = ended.from; unit < ended.to; unit++) done.push(unit)
          cut.finish(ended)
        }
        const busy = running.flatMap(({ from, to }) =>
          Array.from({ length: to - from }, (_, i) => Math.floor((from + i) / chain)),
        )
        const owners = running.map(
          ({ from, to }) =>
            new Set(Array.from({ length: to - from }, (_, i) => Math.floor((from + i) / chain))).size,
        )
        expect(new Set(busy).size).toBe(owners.reduce((sum, size) => sum + size, 0))
      }
      expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: chains * chain }, (_, i) => i))
      for (let c = 0; c < chains; c++) {
        const mine = done.filter(unit => Math.floor(unit / chain) === c)
        expect(mine).toEqual(mine.toSorted((a, b) => a - b))
      }
    }),
    { numRuns: 300 },
  )
})
