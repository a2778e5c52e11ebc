/** The steps of a segment as workers get them, and of the program's buffers only those they name: a stack has hundreds. */
import type { Grain } from '../../workers/claim-table.ts'
import type { BufferPlace, Ref, Step, StepCall, Task } from '../../workers/contract.ts'

export function stepCalls(
  stages: Step[][],
  buffers: BufferPlace[],
  grainOf: (step: Step, at: number) => Grain,
): Pick<Task, 'buffers' | 'stages'> {
  const places: BufferPlace[] = []
  const known = new Map<Ref, Ref>()
  const local = (ref: Ref): Ref => {
    let index = known.get(ref)
    if (index === undefined) {
      index = places.push(buffers[ref]) - 1
      known.set(ref, index)
    }
    return index
  }
  let at = 0
  const call = (step: Step): StepCall => {
    const { op, args, precision, phase, nonFinite, units, chain, group } = step
    const tensors: Record<string, Ref> = {}
    for (const [name, ref] of Object.entries<Ref | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = local(ref)
    }
    return {
      op,
      args,
      precision,
      phase,
      tensors,
      nonFinite: nonFinite === undefined ? undefined : local(nonFinite),
      units,
      chain,
      group,
      flops: step.flops / units,
      ...grainOf(step, at++),
    } as StepCall
  }
  return { stages: stages.map(stage => stage.map(call)), buffers: places }
}
