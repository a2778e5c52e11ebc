import type { StepDraft } from '../../workers/contract.ts'

type Call<S> = S extends StepDraft ? Pick<S, 'op' | 'tensors' | 'args'> : never

/**
 * A step of independent units of equal cost. `bytesPerUnit`: of a step that spends its time elsewhere than on arithmetic,
 * the text that would take as long (see `Speed`).
 */
export function rowStep(
  call: Call<StepDraft>,
  units: number,
  flopsPerUnit: number,
  bytesPerUnit = 0,
): StepDraft {
  const cost = { flops: units * flopsPerUnit, bytes: units * bytesPerUnit }
  return { ...call, phase: 'compute', units, chain: 1, ...cost } as StepDraft
}
