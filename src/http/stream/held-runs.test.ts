import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { HeldRuns } from './held-runs.ts'

const CLOCKS = ['setTimeout', 'clearTimeout', 'performance'] as const

beforeEach(() => void vi.useFakeTimers({ toFake: [...CLOCKS] }))
afterEach(() => void vi.useRealTimers())

/** Of a memory of 800 bytes: 100 for a connection, 200 for all. */
function heldRuns() {
  const all = new HeldRuns(800)
  const gone: string[] = []
  const connection = (client: string) => ({ client, bytes: 0 })
  const hold = (of: ReturnType<typeof connection>, name: string, bytes: number, idleMs = 0) =>
    all.hold(of, { bytes, idleMs }, problem => gone.push(`${name} ${problem.code}`))
  return { all, gone, connection, hold }
}

describe('runs that wait', () => {
  it('give way after a while where their connection holds more than its share, the oldest first', () => {
    const { gone, connection, hold } = heldRuns()
    const one = connection('x')
    hold(one, 'a', 60)
    hold(one, 'b', 60)
    hold(connection('x'), 'c', 70)
    vi.advanceTimersByTime(4000)
    expect(gone).toEqual([])
    vi.advanceTimersByTime(2000)
    expect(gone).toEqual(['a CLIENT_IDLE'])
    vi.advanceTimersByTime(60_000)
    expect(gone).toHaveLength(1)
  })

  it('are left alone while something moves', () => {
    const { gone, connection, hold } = heldRuns()
    const run = hold(connection('x'), 'a', 150)
    for (let second = 0; second < 30; second++) {
      vi.advanceTimersByTime(1000)
      run.touch()
    }
    expect(gone).toEqual([])
    vi.advanceTimersByTime(6000)
    expect(gone).toEqual(['a CLIENT_IDLE'])
  })

  it('give way where all hold too much: those of the client that holds most', () => {
    const { gone, connection, hold } = heldRuns()
    hold(connection('small'), 'small', 30)
    for (const name of ['a', 'b', 'c']) hold(connection('large'), name, 80)
    vi.advanceTimersByTime(6000)
    expect(gone).toEqual(['a CLIENT_IDLE'])
  })

  it('that go on hold nothing any more', () => {
    const { gone, connection, hold } = heldRuns()
    const one = connection('x')
    for (let turn = 0; turn < 5; turn++) hold(one, 'a', 90)[Symbol.dispose]()
    expect(one.bytes).toBe(0)
    hold(one, 'b', 90)
    vi.advanceTimersByTime(60_000)
    expect(gone).toEqual([])
  })
})

describe('memory that is wanted', () => {
  it('is given back by the oldest of the client that holds most, once it has waited for a second', async () => {
    const { all, gone, connection, hold } = heldRuns()
    hold(connection('small'), 'small', 50)
    const large = connection('large')
    const first = hold(large, 'a', 90)
    vi.advanceTimersByTime(500)
    hold(large, 'b', 90)
    const wait = all.reclaim()
    expect(gone).toEqual([])
    vi.advanceTimersByTime(500)
    await wait
    const freed = all.reclaim()
    expect(gone).toEqual(['a CLIENT_IDLE'])
    first[Symbol.dispose]()
    await freed
    // the rest is within the share
    expect(all.reclaim()).toBeUndefined()
  })

  it('is given back by runs whose client lets them wait again and again', () => {
    const { all, gone, connection, hold } = heldRuns()
    const one = connection('x')
    hold(one, 'a', 90)
    hold(one, 'b', 90)
    hold(one, 'c', 90, 900)
    vi.advanceTimersByTime(200)
    void all.reclaim()
    expect(gone).toEqual(['c CLIENT_IDLE'])
  })

  it('is none while runs keep to the share, but for those where nothing has moved for long', () => {
    const { all, gone, connection, hold } = heldRuns()
    expect(all.reclaim()).toBeUndefined()
    const first = hold(connection('x'), 'a', 90)
    hold(connection('x'), 'b', 90)
    expect(all.reclaim()).toBeUndefined()
    vi.advanceTimersByTime(9000)
    first.touch()
    vi.advanceTimersByTime(2000)
    void all.reclaim()
    expect(gone).toEqual(['b CLIENT_IDLE'])
    expect(all.reclaim()).toBeUndefined()
  })
})
