/** Slopes of functions whose derivatives are known, kinks, and what the report makes of a wrong gradient. */
import { describe, expect, it } from 'vitest'
import { EVALUATIONS, type Slope, STEPS, slopeOf } from './estimate.ts'
import { type CheckedInput, reportOf } from './report.ts'

function slopeAt(f: (x: number) => number, x: number, size = Math.max(1, Math.abs(x))): Slope {
  const value = (at: number) => ({ loss: f(at), absolute: Math.abs(f(at)) })
  const pairs = STEPS.map(step => ({
    step: step * size,
    up: value(x + step * size),
    down: value(x - step * size),
  }))
  return slopeOf(pairs, value(x))
}

describe('the slope', () => {
  it.each<[string, (x: number) => number, number, number]>([
    ['a line', x => 3 * x, 1, 3],
    ['sin', Math.sin, 1, Math.cos(1)],
    ['exp', Math.exp, 2, Math.exp(2)],
    ['what bends within a thousandth', x => Math.tanh(1000 * x), 3e-4, 1000 / Math.cosh(0.3) ** 2],
    ['a small number', x => 1e-20 * x * x, 1, 2e-20],
    ['a constant', () => 7, 1, 0],
  ])('of %s', (_, f, x, expected) => {
    const { value, uncertainty, kink } = slopeAt(f, x)
    expect(kink).toBeUndefined()
    expect(Math.abs(value - expected)).toBeLessThanOrEqual(4 * uncertainty)
    expect(uncertainty).toBeLessThan(1e-6 * Math.max(Math.abs(expected), Math.abs(f(x))))
  })

  it.each([
    ['|x| at 0', Math.abs, 0, -1, 1],
    ['relu at 0', (x: number) => Math.max(0, x), 0, 0, 1],
    ['a maximum where both are equal', (x: number) => Math.max(x, 2 - x), 1, -1, 1],
  ])('of %s is none', (_, f, x, left, right) => {
    const { kink } = slopeAt(f, x)
    expect(kink?.left).toBeCloseTo(left, 6)
    expect(kink?.right).toBeCloseTo(right, 6)
  })

  it('beside a kink is that of its side', () => {
    const { value, kink, uncertainty } = slopeAt(x => Math.max(0, x), 1e-4)
    expect(kink).toBeUndefined()
    expect(value).toBeCloseTo(1, 6)
    expect(uncertainty).toBeLessThan(1e-6)
  })
})

/** A loss Σ x², of x = (1, 2), with these gradients. */
function report(gradient: number[]) {
  const x = [1, 2]
  const rms = Math.sqrt(2.5)
  const losses: number[] = []
  const evaluate = (moved: number[]) => {
    const loss = moved.reduce((sum, each) => sum + each * each, 0)
    losses.push(loss, loss)
  }
  evaluate(x)
  const entries = x.map((own, index) => {
    const first = losses.length / 2
    for (const step of STEPS.flatMap(each => [each, -each])) {
      evaluate(x.map((each, at) => (at === index ? own + step * Math.max(Math.abs(own), rms) : each)))
    }
    return { index, first }
  })
  const buffers = [losses, x, gradient, [rms, 2, 2], [0, Math.max(...gradient.map(Math.abs))]]
  const [values, ...refs] = buffers.map((_, at) => at)
  const [ofX, ofGradient, size, gradientSize] = refs
  const input: CheckedInput = {
    name: 'x',
    shape: [2],
    x: ofX,
    gradient: ofGradient,
    size,
    gradientSize,
    entries,
    directions: [],
  }
  expect(losses.length).toBe(2 * (1 + 2 * EVALUATIONS))
  return reportOf([input], values, ref => Float64Array.from(buffers[ref]))
}

describe('the report', () => {
  it('passes what is right', () => {
    expect(report([2, 4])).toMatchObject({
      verdict: 'pass',
      loss: 5,
      inputs: { x: { verdict: 'pass', kinks: 0 } },
    })
  })

  it('fails what is off by a hundred-thousandth, and says where', () => {
    const found = report([2, 4.00004])
    expect(found).toMatchObject({ verdict: 'fail', inputs: { x: { verdict: 'fail' } } })
    const { checks, worst } = (
      found.inputs as { x: { checks: { index: number[]; error: number }[]; worst: number } }
    ).x
    expect(checks.map(({ index }) => index)).toEqual([[0], [1]])
    expect(checks[0].error).toBeLessThan(1e-9)
    expect(worst).toBe(checks[1].error)
    expect(worst).toBeCloseTo(1e-5, 8)
  })

  it('fails a NaN', () => {
    expect(report([2, Number.NaN])).toMatchObject({ verdict: 'fail', inputs: { x: { worst: 'NaN' } } })
  })

  it('fails a gradient of zeros that should be some', () => {
    expect(report([0, 0])).toMatchObject({ verdict: 'fail' })
  })
})
