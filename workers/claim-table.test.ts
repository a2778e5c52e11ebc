import { describe, expect, it } from 'vitest'
import { BOARD_BYTES, Board } from './claim-table.ts'

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })

function board(...stages: { units: number; chain: number }[][]): Board {
  new Uint8Array(memory.buffer, 64, BOARD_BYTES).fill(0xff)
  const made = new Board(memory, 64, stages)
  made.open()
  return made
}

describe('claims', () => {
  it('cut the range into whole chains, in order, smaller towards the end', () => {
    const step = { units: 4200, chain: 7 }
    const claims: [number, number][] = []
    const made = board([step])
    for (
      let claim = made.claim(0, step, 30, 500, 3);
      claim !== undefined;
      claim = made.claim(0, step, 30, 500, 3)
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

  it('take a chain that is longer than a portion whole, and give one worker all portions alike', () => {
    const long = { units: 300, chain: 100 }
    expect(board([long]).claim(0, long, 1, 10, 2)).toEqual([0, 100])
    const alone = { units: 100, chain: 1 }
    const made = board([alone])
    expect([1, 2, 3, 4].map(() => made.claim(0, alone, 1, 40, 1))).toEqual([
      [0, 40],
      [40, 80],
      [80, 100],
      undefined,
    ])
  })

  it('end between groups where they can', () => {
    const step = { units: 70, chain: 1, group: 20 }
    const made = board([step])
    const sizes = [50, 25, 7, 7, 30, 30].map(most => made.claim(0, step, 1, most, 1))
    expect(sizes).toEqual([[0, 40], [40, 60], [60, 67], [67, 70], undefined, undefined])
  })

  it('of one step leave the others alone', () => {
    const step = { units: 3, chain: 1 }
    const made = board([step, step], [step])
    expect(made.claim(1, step, 3, 3, 1)).toEqual([0, 3])
    expect(made.claim(1, step, 3, 3, 1)).toBeUndefined()
    expect(made.claim(0, step, 3, 3, 1)).toEqual([0, 3])
    expect(made.claimable).toBe(true)
    expect(made.claim(2, step, 3, 3, 1)).toEqual([0, 3])
    expect(made.claimable).toBe(false)
  })
})

describe('a stage', () => {
  it('is complete when all of its units are done, and the board when all stages are', () => {
    const made = board(
      [
        { units: 5, chain: 1 },
        { units: 2, chain: 1 },
      ],
      [],
      [{ units: 1, chain: 1 }],
    )
    made.count(0, 4)
    made.call()
    expect(made.await(0)).toBe(false)
    made.count(0, 3)
    expect(made.await(0)).toBe(true)
    expect(made.await(1)).toBe(true)
    expect(made.complete).toBe(false)
    made.count(2, 1)
    expect(made.complete).toBe(true)
  })

  it('is waited for, but not when all is stopped', () => {
    const made = board([{ units: 5, chain: 1 }])
    expect(made.stopped).toBe(false)
    made.stop()
    expect(made.await(0)).toBe(false)
  })
})

describe('a call', () => {
  it('is answered by one worker, and may be taken back', () => {
    const made = board([{ units: 5, chain: 1 }])
    expect(made.mayStay()).toBe(true)
    made.call()
    made.call()
    expect([made.mayStay(), made.mayStay(), made.mayStay()]).toEqual([false, false, true])
    for (let i = 0; i < 3; i++) made.call()
    made.keepCalls(1)
    made.keepCalls(2)
    expect([made.mayStay(), made.mayStay()]).toEqual([false, true])
  })
})
