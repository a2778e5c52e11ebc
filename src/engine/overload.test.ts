/** Many large jobs and many longer small ones: a short one waits for neither, and neither waits for ever. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { benchWithClock, program, stopTheClock } from '../../test/support/workers-bench.ts'

beforeEach(stopTheClock)
afterEach(() => {
  vi.useRealTimers()
})

const SHORT = 0.0001
const LONGER = 0.0015

describe('a short job', () => {
  it('waits for none of many large ones, as often as it comes', async () => {
    const { submit, turn, clock } = benchWithClock()
    for (let i = 0; i < 50; i++) void submit(program(0.05, 500))
    for (let turns = 0; turns < 60; turns++) await turn()
    const waits: number[] = []
    for (let count = 0; count < 20; count++) {
      const begun = clock()
      let ended = false
      void submit(program(SHORT, 1)).then(() => {
        ended = true
      })
      while (!ended) await turn()
      waits.push(clock() - begun)
    }
    expect(Math.max(...waits)).toBeLessThan(10)
  })

  it('waits for none of many longer small ones', async () => {
    const { submit, turn, clock } = benchWithClock()
    for (let i = 0; i < 400; i++) void submit(program(LONGER, 1))
    await turn()
    const begun = clock()
    let ended = false
    void submit(program(SHORT, 1)).then(() => {
      ended = true
    })
    while (!ended) await turn()
    expect(clock() - begun).toBeLessThan(10)
  })

  it('leaves half of the time to others, however many there are', async () => {
    const { submit, turn, clock } = benchWithClock()
    const others: number[] = []
    void submit(program(0.05, 500)).then(() => others.push(clock()))
    for (let i = 0; i < 20; i++) void submit(program(LONGER, 1)).then(() => others.push(clock()))
    let going = true
    const stream = async () => {
      while (going) await submit(program(SHORT, 1))
    }
    for (let i = 0; i < 32; i++) void stream()
    for (let turns = 0; turns < 5000 && others.length < 21; turns++) await turn()
    going = false
    expect(others).toHaveLength(21)
    // alone it would take 80 ms
    expect(Math.max(...others)).toBeLessThan(400)
  })
})

describe('the work that comes before another', () => {
  it('is no more of a large one than the other takes', async () => {
    const { scheduler, submit, turn } = benchWithClock()
    void submit(program(0.1, 500))
    void submit(program(0.1, 500))
    await turn()
    expect(scheduler.backlogSeconds).toBeGreaterThan(0.15)
    expect(scheduler.secondsBefore(0.001)).toBeCloseTo(0.002, 6)
    expect(scheduler.secondsBefore(1000)).toBeCloseTo(scheduler.backlogSeconds, 2)
  })

  it('is all of the small ones, and nothing once they are done', async () => {
    const { scheduler, submit, turn } = benchWithClock()
    const all = Array.from({ length: 100 }, () => submit(program(LONGER, 1)))
    expect(scheduler.secondsBefore(0.001)).toBeCloseTo(scheduler.backlogSeconds)
    expect(scheduler.secondsBefore(0.001)).toBeGreaterThan(0.05)
    let ended = false
    void Promise.all(all).then(() => {
      ended = true
    })
    while (!ended) await turn()
    expect(scheduler.secondsBefore(0.001)).toBeCloseTo(0, 6)
  })
})
