import { expect } from 'vitest'
import { squaredError, squaredRounding } from './error-budget.ts'
import { describeCase, type OpCase } from './op-case.ts'
import { RUNNERS } from './op-runner.ts'

/** A small tensor's plain evaluation may be exact by luck: it is judged together with its likes of other seeds. */
const ELEMENTS = 1024

/**
 * Root-mean-square errors over all elements of the case with different numbers: no further from float64 than twice a plain
 * evaluation is, the worse of two summation orders, or than one rounding of the largest element.
 */
export function expectWithinBudget(first: OpCase): void {
  const repeats = Math.ceil(ELEMENTS / Math.min(...Object.values(first.outputs)))
  const plainErrors: Record<string, number> = {}
  const floors: Record<string, number> = {}
  const errors: Record<string, number> = {}
  const add = (sums: Record<string, number>, key: string, value: number) => {
    sums[key] = (sums[key] ?? 0) + value
  }
  for (let seed = 0; seed < repeats; seed++) {
    const c = first.again?.(seed) ?? first
    const truth = RUNNERS[0].run(c, {}).outputs
    const plain = (['ascending', 'descending'] as const).map(order => c.plain?.(order) ?? {})
    for (const [name, right] of Object.entries(truth)) {
      add(plainErrors, name, Math.max(...plain.map(results => squaredError(results[name], right))))
      add(floors, name, squaredRounding(right))
    }
    for (const runner of RUNNERS.filter(({ wasm }) => wasm)) {
      const { outputs } = runner.run(c, {})
      for (const [name, right] of Object.entries(truth)) {
        add(errors, `${runner.name} ${name}`, squaredError(outputs[name], right))
      }
    }
  }
  const budget = (key: string) => {
    const name = key.split(' ')[1]
    return Math.sqrt(Math.max(4 * plainErrors[name], floors[name]))
  }
  const over = Object.entries(errors).filter(([key, error]) => !(Math.sqrt(error) <= budget(key)))
  const report = over.map(([key, error]) => `${key}: ${Math.sqrt(error)} > ${budget(key)}`)
  expect(report, describeCase(first)).toEqual([])
}
