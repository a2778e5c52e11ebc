import type { Step } from '../../workers/program.ts'

type Call<S> = S extends Step ? Pick<S, 'op' | 'tensors' | 'args'> : never

/** A step of independent units of equal cost. */
export function rowStep(call: Call<Step>, units: number, flopsPerUnit: number): Step {
  return { ...call, phase: 'compute', units, chain: 1, flops: units * flopsPerUnit, bytes: 0 } as Step
}
