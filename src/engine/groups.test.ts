/** Turns between groups of jobs: a client with many has no more than one with one. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  benchWithClock,
  never,
  program,
  stopTheClock,
  withBarriers,
} from '../../test/support/workers-bench.ts'

beforeEach(stopTheClock)
afterEach(() => {
  vi.useRealTimers()
})

describe('jobs of groups', () => {
  it('large ones: eight of one take as long as one of another', async () => {
    const { submit, turn, clock } = benchWithClock()
    const ended: Record<string, number> = {}
    const done = (name: string) => () => {
      ended[name] = clock()
    }
    const many = Array.from({ length: 8 }, () => submit(program(0.05, 500), never, undefined, 'a'))
    void Promise.all(many).then(done('a'))
    void submit(program(0.05, 500), never, undefined, 'b').then(done('b'))
    for (let turns = 0; ended.a === undefined && turns < 2000; turns++) await turn()
    // half of the time is b's until it has ended: 100 ms, not 450
    expect(ended.b).toBeGreaterThan(80)
    expect(ended.b).toBeLessThan(160)
    expect(ended.a).toBeCloseTo(450, -1)
  })

  it('large ones without a group have a share each', async () => {
    const { submit, turn, clock } = benchWithClock()
    let ended = 0
    for (let i = 0; i < 3; i++) void submit(program(0.05, 500))
    void submit(program(0.05, 500)).then(() => {
      ended = clock()
    })
    for (let turns = 0; ended === 0 && turns < 2000; turns++) await turn()
    expect(ended).toBeGreaterThan(170)
  })

  it('those that wait at a barrier leave their share to their group', async () => {
    const { submit, turn, clock } = benchWithClock()
    const ended: Record<string, number> = {}
    const done = (name: string) => () => {
      ended[name] = clock()
    }
    const held = new Promise<void>(() => {})
    for (let i = 0; i < 6; i++) void submit(withBarriers([0.002, 0.01], [0], 10), never, () => held, 'a')
    for (let turns = 0; turns < 40; turns++) await turn()
    const from = clock()
    void submit(program(0.05, 500), never, undefined, 'a').then(done('a'))
    void submit(program(0.05, 500), never, undefined, 'b').then(done('b'))
    for (let turns = 0; (ended.a ?? ended.b) === undefined && turns < 2000; turns++) await turn()
    for (let turns = 0; (ended.a === undefined || ended.b === undefined) && turns < 2000; turns++)
      await turn()
    expect(Math.abs(ended.a - ended.b)).toBeLessThan(30)
    expect(Math.max(ended.a, ended.b) - from).toBeCloseTo(100, -1)
  })

  it('small ones come in turn: the first of another group does not wait for hundreds', async () => {
    const { submit, turn, clock } = benchWithClock()
    let [ofA, ofB] = [0, 0]
    for (let i = 0; i < 400; i++)
      void submit(program(0.0002, 1), never, undefined, 'a').then(() => {
        ofA++
      })
    for (let i = 0; i < 40; i++)
      void submit(program(0.0002, 1), never, undefined, 'b').then(() => {
        ofB++
      })
    while (ofB < 40) await turn()
    expect(ofA).toBeLessThan(80)
    while (ofA < 400) await turn()
    expect(clock()).toBeCloseTo(88, 0)
  })

  it('small ones of a group that floods do not stop large ones of it or of others', async () => {
    const { submit, turn } = benchWithClock()
    const ended: string[] = []
    for (const group of ['a', 'b', undefined])
      void submit(program(0.05, 100), never, undefined, group).then(() => ended.push(String(group)))
    const more = () => void submit(program(0.0002, 1), never, undefined, 'a').then(more)
    for (let i = 0; i < 16; i++) more()
    let turns = 0
    for (; ended.length < 3 && turns < 2000; turns++) await turn()
    expect(ended.toSorted()).toEqual(['a', 'b', 'undefined'])
  })
})
