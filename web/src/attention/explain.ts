/** The sum a cell comes from, written out with its numbers. */
import { factor, format } from '../matrix/format.ts'
import { columns, type Matrix } from '../matrix/matrix.ts'
import type { Name } from './matrices.ts'
import { KINDS } from './matrices.ts'
import type { AttentionResult } from './request.ts'

export interface Explanation {
  /** the formula in letters */
  formula: string
  /** the same in numbers, a line a step */
  steps: string[]
  value: number
}

/** A sum of more terms than this shows its largest ones. */
const TERMS = 8

interface Term {
  text: string
  value: number
}

export function explain(
  result: AttentionResult,
  name: Name,
  row: number,
  col: number,
): Explanation | undefined {
  const value = KINDS[name].of(result)?.[row]?.[col]
  if (value === undefined) return undefined
  return { value, ...(EXPLAINERS[name]?.(result, row, col, value) ?? { formula: '', steps: [] }) }
}

type Explainer = (
  result: AttentionResult,
  row: number,
  col: number,
  value: number,
) => { formula: string; steps: string[] } | undefined

const EXPLAINERS: Partial<Record<Name, Explainer>> = {
  products: ({ inputs: { q, k } }, i, j) => ({
    formula: 'Σ_c  Q[i,c] · K[j,c]',
    steps: [sum(products(q[i]!, k[j]!))],
  }),
  scores: ({ products: raw, inputs: { q } }, i, j) => ({
    formula: 'Q·Kᵀ[i,j] / √d_k',
    steps: [`${format(raw[i]![j]!)} / √${columns(q)}`],
  }),
  masked_scores: ({ scores, inputs: { q } }, i, j, value) =>
    // a model does not tell what its scores are made of
    q.length === 0
      ? undefined
      : { formula: 'S[i,j],  −∞', steps: [value === -Infinity ? '−∞' : format(scores[i]![j]!)] },
  weights: ({ maskedScores }, i, j) => softmax(maskedScores[i]!, j),
  entropy: ({ weights }, i) => {
    const terms = weights[i]!.filter(p => p > 0).map(p => ({
      text: `${format(p)}·ln ${format(p)}`,
      value: p * Math.log(p),
    }))
    return { formula: '−Σ_j  P[i,j] · ln P[i,j]', steps: [terms.length === 0 ? '0' : `−(${sum(terms)})`] }
  },
  output: ({ weights, inputs: { v } }, i, c) => ({
    formula: 'Σ_j  P[i,j] · V[j,c]',
    steps: [sum(products(weights[i]!, column(v, c)))],
  }),
  grad_output: ({ output, inputs: { target } }, i, c) => ({
    formula: '2 · (O[i,c] − T[i,c])',
    steps: [`2 · (${format(output[i]![c]!)} − ${factor(target[i]![c]!)})`],
  }),
  grad_weights: ({ gradients, inputs: { v } }, i, j) =>
    gradients && { formula: 'Σ_c  ∂O[i,c] · V[j,c]', steps: [sum(products(gradients.output[i]!, v[j]!))] },
  grad_scores: ({ gradients, weights }, i, j) => {
    if (gradients === undefined) return undefined
    const terms = products(weights[i]!, gradients.weights[i]!)
    const delta = terms.reduce((total, term) => total + term.value, 0)
    const [p, dp] = [weights[i]![j]!, gradients.weights[i]![j]!]
    return {
      formula: 'P[i,j] · (∂P[i,j] − δ[i]),  δ[i] = Σ_k P[i,k] · ∂P[i,k]',
      steps: [`δ = ${sum(terms)} = ${format(delta)}`, `${format(p)} · (${format(dp)} − ${factor(delta)})`],
    }
  },
  grad_q: ({ gradients, inputs: { k, q } }, i, c) =>
    gradients && {
      formula: 'Σ_j  ∂S[i,j] · K[j,c] / √d_k',
      steps: [`(${sum(products(gradients.scores[i]!, column(k, c)))}) / √${columns(q)}`],
    },
  grad_k: ({ gradients, inputs: { q } }, j, c) =>
    gradients && {
      formula: 'Σ_i  ∂S[i,j] · Q[i,c] / √d_k',
      steps: [`(${sum(products(column(gradients.scores, j), column(q, c)))}) / √${columns(q)}`],
    },
  grad_v: ({ gradients, weights }, j, c) =>
    gradients && {
      formula: 'Σ_i  P[i,j] · ∂O[i,c]',
      steps: [sum(products(column(weights, j), column(gradients.output, c)))],
    },
}

function softmax(scores: number[], col: number): { formula: string; steps: string[] } {
  const largest = Math.max(...scores)
  // where e^score leaves the range in which four digits say enough, the largest is taken off, as kernels do
  const shift = largest > 20 || largest < -2 ? largest : 0
  const formula = shift === 0 ? 'e^S′[i,j] / Σ_k e^S′[i,k]' : 'e^(S′[i,j] − m) / Σ_k e^(S′[i,k] − m)'
  if (largest === -Infinity) return { formula, steps: ['0'] }
  const exponent = (score: number) => (score === -Infinity ? '−∞' : format(score - shift))
  const terms = scores.map(score => ({ text: `e^${exponent(score)}`, value: Math.exp(score - shift) }))
  const total = terms.reduce((whole, { value }) => whole + value, 0)
  return {
    formula,
    steps: [`${terms[col]!.text} / (${sum(terms)})`, `${format(terms[col]!.value)} / ${format(total)}`],
  }
}

function products(left: number[], right: number[]): Term[] {
  return left.map((value, index) => ({
    text: `${factor(value)}·${factor(right[index]!)}`,
    value: value * right[index]!,
  }))
}

function column(matrix: Matrix, col: number): number[] {
  return matrix.map(row => row[col]!)
}

function sum(terms: Term[]): string {
  if (terms.length <= TERMS) return terms.map(({ text }) => text).join(' + ')
  const order = terms.map((term, index) => ({ ...term, index }))
  const kept = order.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, TERMS - 1)
  const rest = order.slice(TERMS - 1).reduce((total, { value }) => total + value, 0)
  const shown = kept.sort((a, b) => a.index - b.index).map(({ text }) => text)
  return [...shown, `… ${factor(rest)}`].join(' + ')
}
