/** How much a worker runs between two polls, by a clock that only moves while something runs. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CostModel } from '../src/engine/cost-model.ts'
import { type Call, program, step, stopTheClock, workersBench } from '../test/support/workers-bench.ts'
import type { TaskResult } from './contract.ts'

beforeEach(stopTheClock)
afterEach(() => {
  vi.useRealTimers()
})

/** The milliseconds of every portion of a step that takes `factor` times as long as is estimated. */
async function portions(factor: (call: Call) => number, units = 100_000): Promise<number[]> {
  const { submit, turn, hooks } = workersBench(1)
  const taken: number[] = []
  hooks.onCall = call => {
    const ms = factor(call) * call.ms
    vi.advanceTimersByTime(ms)
    taken.push(ms)
  }
  const done = submit(program(0.1, units))
  await turn()
  await done
  return taken
}

describe('a portion', () => {
  it('is as long as the interval of polls where the estimate is right', async () => {
    const [first, ...others] = await portions(() => 1)
    expect(first).toBeLessThanOrEqual(0.5)
    expect(Math.max(...others)).toBeLessThanOrEqual(6)
    expect(others.length).toBeLessThan(30)
  })

  it.each([3, 100])('is no longer where the step takes %d times as long as estimated', async factor => {
    const [first, ...others] = await portions(() => factor)
    expect(first).toBeLessThanOrEqual(0.5 * factor)
    expect(Math.max(...others)).toBeLessThanOrEqual(6.1)
  })

  it('follows what the units take as they go on', async () => {
    // the later half takes a hundred times as long
    const taken = await portions(({ from }) => (from < 50_000 ? 1 : 100))
    expect(taken.filter(ms => ms > 6.1).length).toBeLessThanOrEqual(2)
  })

  it('is one unit where that takes longer than the interval', async () => {
    const taken = await portions(() => 1000, 100)
    expect(taken).toHaveLength(100)
  })
})

describe('what a task says of its steps', () => {
  async function measuredOf(seconds: number): Promise<TaskResult> {
    const bench = workersBench(1)
    bench.hooks.onCall = ({ ms }) => vi.advanceTimersByTime(ms)
    void bench.submit({
      buffers: [],
      barriers: [],
      scratchBytes: 0,
      stages: [[step(seconds, 10)], [step(1e-6, 1)]],
    })
    return bench.run(bench.sent[0].tasks[0])
  }

  it('is how long they took, of those only that took a while', async () => {
    expect(await measuredOf(0.02)).toMatchObject({
      ok: true,
      measured: [{ step: 0, units: 10, seconds: expect.closeTo(0.02, 6) }],
    })
    expect(await measuredOf(0.0005)).toMatchObject({ ok: true, measured: [] })
  })

  it('makes the next estimate of such a step', async () => {
    const model = new CostModel()
    const result = await measuredOf(0.02)
    const slow = step(0.005, 10)
    for (let task = 0; task < 300; task++) model.learn([slow], result.measured)
    expect(model.seconds(slow)).toBeCloseTo(0.02, 3)
  })
})
