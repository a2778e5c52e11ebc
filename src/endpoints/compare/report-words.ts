/** Numbers and sentences of a comparison, as its reports in text and in HTML have them. */
import type { CompareReport } from './answer.ts'

/** Three significant digits, and what is no number by its name. */
export function short(value: number | string | null): string {
  if (value === null) return '-'
  if (typeof value === 'string') return value
  if (value === 0 || Number.isSafeInteger(value))
    return Math.abs(value) < 1e6 ? String(value) : value.toExponential(2)
  const size = Math.abs(value)
  return size >= 1e-2 && size < 1e4 ? String(Number(value.toPrecision(3))) : value.toExponential(2)
}

/** All digits that tell a float32 from its neighbours. */
export function full(value: number | string): string {
  return typeof value === 'string' ? value : String(Number(value.toPrecision(9)))
}

export function indexText(index: readonly number[]): string {
  return `[${index.join(', ')}]`
}

/** "2 of 5 tensors are wrong" */
export function summary({ tensors, endpoint, candidate_dtype: dtype }: CompareReport): string {
  const all = Object.values(tensors)
  const failed = all.filter(({ verdict }) => verdict === 'fail').length
  const what = all.length === 1 ? 'tensor' : 'tensors'
  const found =
    failed === 0
      ? `${all.length} ${what} within the rule`
      : `${failed} of ${all.length} ${what} ${failed === 1 ? 'is' : 'are'} wrong`
  return `${endpoint}, candidate in ${dtype}: ${found}`
}

export function ruleText({ rule }: CompareReport): string {
  return rule.kind === 'tolerance'
    ? `|candidate - truth| <= ${rule.atol} + ${rule.rtol} * |truth| for every element; truth in float64`
    : `max|candidate - truth| <= ${rule.factor} * max|baseline - truth| + eps * max|truth|; truth in float64, baseline a plain evaluation in the candidate's dtype`
}

export function explainsText(explains: number): string {
  if (explains === 1) return 'explains everything: with it, every tensor is within the rule'
  return `explains ${(100 * explains).toFixed(explains > 0.999 ? 2 : 1)} % of the elements that are wrong`
}

/** Why there is no diagnosis, or an empty one; undefined where there is one, or nothing to explain. */
export function unexplained({ verdict, diagnosis }: CompareReport): string | undefined {
  if (verdict === 'pass' || (diagnosis !== undefined && diagnosis.length > 0)) return undefined
  return diagnosis === undefined
    ? 'Not asked for.'
    : 'None of the usual mistakes explains it: what is wrong is something else, or several mistakes at once.'
}

export function conditioningText({ conditioning }: CompareReport): string | undefined {
  if (conditioning === undefined) return undefined
  const { largest_score: largest, spread, rows, rows_near_ties: ties } = conditioning
  return `largest |score| ${short(largest)}, largest spread in a row ${short(spread)}, ${ties} of ${rows} rows near a tie`
}
