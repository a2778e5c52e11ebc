/**
 * A hypothesis is first tried at a lower price: without a baseline, by what was allowed before, and forward alone where it changes that.
 * More passes there than in the end, since what is allowed depends on what is evaluated.
 */
import type { Hypothesis } from './hypotheses/hypothesis.ts'
import type { Report, TensorReport } from './report.ts'
import type { CompareRequest } from './request.ts'

/** How much more passes. */
const LOOSER = 4
/** An error that was mended is smaller than this share of what it was. */
const STILL = 0.9

/** A comparison by what `before` allowed. */
export function withoutBaseline(request: CompareRequest, before: Report): CompareRequest {
  const { rule } = request
  const looser =
    rule.kind === 'tolerance' ? { ...rule, rtol: LOOSER * rule.rtol, atol: LOOSER * rule.atol } : rule
  const allowed = new Map(
    Object.entries(before.tensors).map(([name, tensor]) => [name, LOOSER * Number(tensor.allowed)]),
  )
  return { ...request, rule: looser, allowed, top: 0 }
}

/** The comparison without its gradients; undefined where there would be nothing to save or to see. */
export function forwardAlone(
  request: CompareRequest,
  { alteration }: Hypothesis,
): CompareRequest | undefined {
  const candidates = request.candidates.filter(({ name }) => !isGradient(name))
  if (candidates.length === 0 || candidates.length === request.candidates.length) return undefined
  if (alteration?.backward !== undefined || alteration?.answer !== undefined) return undefined
  return { ...request, candidates, body: { ...request.body, backward: undefined } }
}

function isGradient(name: string): boolean {
  return name.startsWith('grads.')
}

/** Whether a hypothesis may hold, by a comparison of some of the tensors. */
export function mayHold({ tensors: before }: Report, { tensors: after }: Report): boolean {
  if (contradicts(before, after)) return false
  const gradientsLeft = Object.keys(after).length < Object.keys(before).length
  return gradientsLeft || Object.entries(after).some(([name, now]) => isMended(before[name], now))
}

function isMended({ mismatched, rmse }: TensorReport, now: TensorReport): boolean {
  return mismatched > 0 && (now.mismatched < mismatched || Number(now.rmse) <= STILL * Number(rmse))
}

/** A tensor fails that passed, or is further off. */
export function contradicts(before: Report['tensors'], after: Report['tensors']): boolean {
  return Object.entries(after).some(([name, { mismatched, rmse }]) => {
    const was = before[name]
    return mismatched > 0 && (was.mismatched === 0 || !(Number(rmse) <= Number(was.rmse)))
  })
}
