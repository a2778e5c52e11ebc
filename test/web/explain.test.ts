/** Every sum that the page writes out comes to the value it explains. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { explain } from '../../web/src/attention/explain.ts'
import { KINDS, NAMES } from '../../web/src/attention/matrices.ts'
import type { AttentionResult, Gradients } from '../../web/src/attention/request.ts'
import { columns, dot, type Matrix } from '../../web/src/matrix/matrix.ts'

/** Attention and its backward pass once more, in the plainest way. */
function resultOf(q: Matrix, k: Matrix, v: Matrix, target: Matrix, hidden: boolean[][]): AttentionResult {
  const scale = 1 / Math.sqrt(columns(q))
  const products = q.map(row => k.map(key => dot(row, key)))
  const scores = products.map(row => row.map(value => value * scale))
  const maskedScores = scores.map((row, i) => row.map((value, j) => (hidden[i]![j] ? -Infinity : value)))
  const sums = maskedScores.map(row => row.reduce((sum, value) => sum + Math.exp(value), 0))
  const weights = maskedScores.map((row, i) => row.map(value => (sums[i] ? Math.exp(value) / sums[i] : 0)))
  const column = (matrix: Matrix, col: number) => matrix.map(row => row[col]!)
  const times = (left: Matrix, right: Matrix) =>
    left.map(row => right[0]!.map((_, col) => dot(row, column(right, col))))
  const transposed = (matrix: Matrix) => matrix[0]!.map((_, col) => column(matrix, col))
  const output = times(weights, v)
  const gradOutput = output.map((row, i) => row.map((value, c) => 2 * (value - target[i]![c]!)))
  const gradWeights = times(gradOutput, transposed(v))
  const gradScores = weights.map((row, i) =>
    row.map((p, j) => p * (gradWeights[i]![j]! - dot(row, gradWeights[i]!))),
  )
  const scaled = (matrix: Matrix) => matrix.map(row => row.map(value => value * scale))
  const gradients: Gradients = {
    loss: 0,
    output: gradOutput,
    weights: gradWeights,
    scores: gradScores,
    q: scaled(times(gradScores, k)),
    k: scaled(times(transposed(gradScores), q)),
    v: times(transposed(weights), gradOutput),
  }
  const entropy = weights.map(row => -row.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0))
  const inputs = { q, k, v, target, queries: q.map(String), keys: k.map(String) }
  const logsumexp = sums.map(Math.log)
  const tokens = inputs.queries
  return {
    inputs,
    tokens,
    scale,
    products,
    scores,
    maskedScores,
    weights,
    output,
    entropy,
    logsumexp,
    gradients,
  }
}

/** Reads a step as arithmetic. */
function evaluate(step: string): number {
  const script = step
    .replace(/^δ = (.*) = .*$/, '$1')
    .replaceAll('−∞', '(-Infinity)')
    .replaceAll('−', '-')
    .replaceAll('… ', '')
    .replaceAll('·', '*')
    .replace(/√(\d+)/g, 'Math.sqrt($1)')
    .replace(/ln ([\d.e-]+)/g, 'Math.log($1)')
    .replace(/\be\^(\([^)]*\)|-?[\d.]+(?:e-?\d+)?)/g, 'Math.exp($1)')
  return new Function(`return ${script}`)()
}

const size = fc.integer({ min: 1, max: 11 })
const cell = fc.integer({ min: -40, max: 40 }).map(value => value / 10)

describe('written sums', () => {
  it('come to their values', () => {
    fc.assert(
      fc.property(
        size,
        size,
        size,
        size,
        fc.infiniteStream(cell),
        fc.infiniteStream(fc.boolean()),
        (n, m, d, e, cells, hides) => {
          const next = () => cells.next().value
          const matrix = (rows: number, cols: number) =>
            Array.from({ length: rows }, () => Array.from({ length: cols }, next))
          const hidden = Array.from({ length: n }, () => Array.from({ length: m }, () => hides.next().value))
          const result = resultOf(matrix(n, d), matrix(m, d), matrix(m, e), matrix(n, e), hidden)
          for (const name of NAMES) {
            const values = KINDS[name].of(result)!
            for (const [i, row] of values.entries()) {
              for (const [j, value] of row.entries()) {
                const explanation = explain(result, name, i, j)!
                expect(explanation.value).toBe(value)
                for (const step of name === 'grad_scores' ? explanation.steps.slice(1) : explanation.steps) {
                  const got = evaluate(step)
                  if (value === -Infinity) expect(got).toBe(value)
                  // four digits are written; factors reach about 30 and sums have up to 11 terms
                  else
                    expect(Math.abs(got - value), `${name}: ${step}`).toBeLessThan(
                      0.02 + 0.01 * Math.abs(value),
                    )
                }
              }
            }
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('keep their largest terms, and the sum of the others', () => {
    const q = [Array.from({ length: 20 }, (_, index) => index - 10)]
    const result = resultOf(q, q, [[1]], [[0]], [[false]])
    const { steps } = explain(result, 'products', 0, 0)!
    expect(steps[0]!.split(' + ').length).toBe(8)
    expect(evaluate(steps[0]!)).toBe(dot(q[0]!, q[0]!))
  })

  it('do not overflow where scores are large', () => {
    const result = resultOf([[30]], [[30], [29]], [[1], [0]], [[0]], [[false, false]])
    expect(explain(result, 'weights', 0, 1)!.steps[0]).toBe('e^−30 / (e^0 + e^−30)')
  })
})
