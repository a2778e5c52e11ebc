import { describe, expect, it } from 'vitest'
import { CLAIM_TABLE_BYTES, ClaimTable } from './claim-table.ts'

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })

function claimTable(...stages: { units: number; chain: number }[][]): ClaimTable {
  new Uint8Array(memory.buffer, 64, CLAIM_TABLE_BYTES).fill(0xff)
  const table = new ClaimTable(memory, 64, stages)
  table.reset()
  return table
}

describe('claims', () => {
  it('cut the range into whole chains, in order, smaller towards the end', () => {
    const step = { units: 4200, chain: 7 }
    const claims: [number, number][] = []
    const table = claimTable([step])
    for (
      let claim = table.claim(0, step, 30, 500, 3);
      claim !== undefined;
      claim = table.claim(0, step, 30, 500, 3)
    )
      claims.push(claim)
    let next = 0
    for (const [from, to] of claims) {
      expect(from).toBe(next)
      expect(from % 7).toBe(0)
      expect(to - from).toBeLessThanOrEqual(500)
      next = to
    }
    expect(next).toBe(4200)
    const sizes = claims.map(([from, to]) => to - from)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    expect(sizes[0]).toBeGreaterThan(450)
    // the last but one is of the least size, in whole chains
    expect(sizes.at(-2)).toBe(28)
  })

  it('take a chain that is longer than a grain whole, and give one worker grains of one size', () => {
    const long = { units: 300, chain: 100 }
    expect(claimTable([long]).claim(0, long, 1, 10, 2)).toEqual([0, 100])
    const single = { units: 100, chain: 1 }
    const table = claimTable([single])
    expect([1, 2, 3, 4].map(() => table.claim(0, single, 1, 40, 1))).toEqual([
      [0, 40],
      [40, 80],
      [80, 100],
      undefined,
    ])
  })

  it('end between groups where they can', () => {
    const step = { units: 70, chain: 1, group: 20 }
    const table = claimTable([step])
    const sizes = [50, 25, 7, 7, 30, 30].map(most => table.claim(0, step, 1, most, 1))
    expect(sizes).toEqual([[0, 40], [40, 60], [60, 67], [67, 70], undefined, undefined])
  })

  it('of one step leave the others alone', () => {
    const step = { units: 3, chain: 1 }
    const table = claimTable([step, step], [step])
    expect(table.claim(1, step, 3, 3, 1)).toEqual([0, 3])
    expect(table.claim(1, step, 3, 3, 1)).toBeUndefined()
    expect(table.claim(0, step, 3, 3, 1)).toEqual([0, 3])
    expect(table.claimable).toBe(true)
    expect(table.claim(2, step, 3, 3, 1)).toEqual([0, 3])
    expect(table.claimable).toBe(false)
  })
})

describe('what little is left', () => {
  const all = (units: number, least: number): number[] => {
    const step = { units, chain: 1 }
    const table = claimTable([step])
    const sizes: number[] = []
    for (let claim = table.claim(0, step, 20, 500, 2, least); claim !== undefined; ) {
      sizes.push(claim[1] - claim[0])
      claim = table.claim(0, step, 20, 500, 2, least)
    }
    return sizes
  }

  it('is shared equally, down to the least that is worth a claim', () => {
    expect(all(6, 1)).toEqual([3, 2, 1])
    expect(all(30, 8)).toEqual([15, 8, 7])
    expect(all(100, 5)).toEqual([25, 20, 20, 18, 9, 5, 3])
    expect(all(30, 20)).toEqual([20, 10])
  })
})

describe('a stage', () => {
  it('is complete when all of its units are done, and the table when all stages are', () => {
    const table = claimTable(
      [
        { units: 5, chain: 1 },
        { units: 2, chain: 1 },
      ],
      [],
      [{ units: 1, chain: 1 }],
    )
    table.count(0, 4)
    table.requestPreemption()
    expect(table.await(0)).toBe(false)
    table.count(0, 3)
    expect(table.await(0)).toBe(true)
    expect(table.await(1)).toBe(true)
    expect(table.complete).toBe(false)
    table.count(2, 1)
    expect(table.complete).toBe(true)
  })

  it('is waited for, but not when all is stopped', () => {
    const table = claimTable([{ units: 5, chain: 1 }])
    expect(table.stopped).toBe(false)
    table.stop()
    expect(table.await(0)).toBe(false)
  })
})

describe('a preemption', () => {
  it('is answered by one worker, and may be taken back', () => {
    const table = claimTable([{ units: 5, chain: 1 }])
    expect(table.shouldYield()).toBe(false)
    table.requestPreemption()
    table.requestPreemption()
    expect([table.shouldYield(), table.shouldYield(), table.shouldYield()]).toEqual([true, true, false])
    for (let i = 0; i < 3; i++) table.requestPreemption()
    table.capPreemptions(1)
    table.capPreemptions(2)
    expect([table.shouldYield(), table.shouldYield()]).toEqual([true, false])
  })
})
