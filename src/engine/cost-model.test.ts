import { describe, expect, it } from 'vitest'
import { step } from '../../test/support/workers-bench.ts'
import type { Step } from '../../workers/contract.ts'
import { CostModel } from './cost-model.ts'

/** A step of another kind that takes as long. */
const other = (seconds: number): Step => ({ ...step(seconds, 10), op: 'outputErrorTotal' }) as Step

/** Tasks of the whole step that took `factor` times as long as is estimated of a model that has learned nothing. */
function learn(model: CostModel, times: number, factor: number, of: Step = step(1, 10)): void {
  for (let task = 0; task < times; task++) {
    const measured = [{ step: 0, units: of.units, seconds: factor * new CostModel().seconds(of) }]
    model.learn([of], measured)
  }
}

describe('the cost model', () => {
  it('begins at the speed of the start-up measurement, within bounds', () => {
    const honest = step(1, 10)
    const seconds = (gigaflops?: number) => new CostModel(gigaflops).seconds(honest)
    expect(seconds(30) / seconds(60)).toBeCloseTo(2, 3)
    expect(seconds(1)).toBe(seconds(18.75))
    expect(seconds(1e6)).toBe(seconds(300))
    expect(seconds()).toBeGreaterThan(0)
  })

  it('learns how long a kind of step takes', () => {
    const model = new CostModel()
    learn(model, 200, 2)
    expect(model.seconds(step(1, 10))).toBeCloseTo(2, 1)
    learn(model, 400, 0.5)
    expect(model.seconds(step(1, 10))).toBeCloseTo(0.5, 1)
  })

  it('learns from a part of a step as from the whole', () => {
    const model = new CostModel()
    for (let task = 0; task < 200; task++) {
      model.learn([other(1), step(1, 10)], [{ step: 1, units: 3, seconds: 0.6 }])
    }
    expect(model.seconds(step(1, 10))).toBeCloseTo(2, 1)
    expect(model.seconds(other(1))).toBeCloseTo(1, 2)
  })

  it('is moved little by an odd task, however odd', () => {
    for (const factor of [1e9, 1e-9, 0]) {
      const model = new CostModel()
      learn(model, 1, factor)
      expect(Math.abs(model.seconds(step(1, 10)) - 1)).toBeLessThan(0.03)
    }
  })

  it('cannot be poisoned: whatever comes, an honest plan stays within bounds, and other kinds are not touched', () => {
    const honest = 2.5
    const model = new CostModel()
    learn(model, 10_000, 1e6)
    expect(model.seconds(step(honest, 10)) / honest).toBeLessThanOrEqual(4.001)
    expect(model.seconds(other(honest)) / honest).toBeCloseTo(1, 3)
    // and it recovers
    learn(model, 300, 1)
    expect(model.seconds(step(honest, 10)) / honest).toBeCloseTo(1, 1)
    learn(model, 10_000, 1e-6)
    expect(model.seconds(step(honest, 10)) / honest).toBeGreaterThanOrEqual(0.25)
  })

  it('believes no step free', () => {
    const nothing = { ...step(0, 1_000_000), nanoseconds: 0 }
    expect(new CostModel().seconds(nothing)).toBeGreaterThan(0.001)
  })

  it('counts the steps that follow apart from those of the program', () => {
    const [before, after] = [step(1, 10), step(3, 10)]
    const program = {
      buffers: [],
      barriers: [],
      scratchBytes: 0,
      stages: [[before], [before]],
      later: [after],
    }
    const { seconds, later, steps } = new CostModel().cost(program)
    expect(steps).toHaveLength(2)
    expect(seconds).toBeCloseTo(2, 4)
    expect(later).toBeCloseTo(3, 4)
  })
})
