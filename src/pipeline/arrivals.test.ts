import { describe, expect, it } from 'vitest'
import type { Problem } from '../problem.ts'
import { type Arrival, Arrivals } from './arrivals.ts'

/** Arrivals of clients by name, with who gave way. */
function arrivalsOf(limit: number) {
  const all = new Arrivals(limit)
  const gone: string[] = []
  const begin = (client: string, name: string) => all.begin(client, () => gone.push(name))
  return { begin, gone }
}

function codeOf(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (problem) {
    return (problem as Problem).code
  }
}

describe('what is on its way', () => {
  it('has the client give way that has most, with its largest, and of several the oldest', () => {
    const { begin, gone } = arrivalsOf(100)
    const of = (client: string, name: string, bytes: number) => {
      const arrival = begin(client, name)
      arrival.resize(bytes)
      return arrival
    }
    of('attacker', 'a', 20)
    of('attacker', 'b', 30)
    of('attacker', 'c', 30)
    const honest = of('other', 'honest', 20)
    expect(gone).toEqual([])
    honest.resize(40)
    expect(gone).toEqual(['b'])
    of('third', 'third', 30)
    expect(gone).toEqual(['b', 'c'])
  })

  it('throws where it gives way itself, and leaves the others alone', () => {
    const { begin, gone } = arrivalsOf(100)
    const small = begin('small', 'small')
    small.resize(40)
    const large = begin('large', 'large')
    large.resize(50)
    expect(codeOf(() => large.resize(61))).toBe('BUSY')
    small.resize(100)
    expect(gone).toEqual([])
  })

  it('is as it was when all have ended', () => {
    const { begin, gone } = arrivalsOf(100)
    const ended: Arrival[] = []
    for (let turn = 0; turn < 10; turn++) {
      const arrival = begin('client', 'all')
      if (codeOf(() => arrival.resize(turn % 2 === 0 ? 100 : 101)) === undefined) ended.push(arrival)
      // twice is once
      for (let time = 0; time < 2; time++) arrival[Symbol.dispose]()
    }
    expect(ended).toHaveLength(5)
    begin('other', 'last').resize(100)
    expect(gone).toEqual([])
  })
})
