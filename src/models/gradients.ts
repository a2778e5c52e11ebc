/** Gradients of weights as the checkpoint has them: by its names, in its orientation, parts put together again. */
import type { Ref } from '../../workers/contract.ts'
import { joinWeights } from '../../workers/ops/tokens/op.ts'
import { product } from '../formats/tensor.ts'
import type { LoadedModel } from './loaded.ts'
import type { PlacedWeight } from './plan.ts'
import type { ProgramWeights, WeightGradients } from './program-weights.ts'

/** Our names of the weights, by the checkpoint's name of the tensor that they are parts of. */
export function tensorsOf({ plan }: LoadedModel): Map<string, PlacedWeight[]> {
  return Map.groupBy(plan.weights.values(), weight => weight.stored_as)
}

/** Answers `grads.params.<tensor>` for tensors that are wanted and whose parts all have a gradient. */
export function answerWeights(
  weights: ProgramWeights,
  found: WeightGradients,
  wanted: (tensor: string) => boolean,
): void {
  const { p } = weights
  for (const [tensor, parts] of tensorsOf(weights.model)) {
    if (!wanted(tensor)) continue
    const ordered = parts.toSorted((a, b) => a.from - b.from)
    const refs = ordered.map(({ name }) => found.get(name))
    if (refs.includes(undefined)) continue
    p.output(`grads.params.${tensor}`, joined(weights, ordered, refs as Ref[]), ordered[0].stored)
  }
}

function joined({ p }: ProgramWeights, parts: PlacedWeight[], refs: Ref[]): Ref {
  const [{ stored, axis, transposed }] = parts
  if (parts.length === 1 && !transposed) return refs[0]
  const [rows, columns = 1] = stored
  const [first, second = 0] = parts.map(({ from, to }) => to - from)
  const y = p.reals(product(stored))
  const [a, b, c] = refs
  const args = { rows, columns, axis: axis === 0 ? 'rows' : 'columns', first, second, transposed } as const
  p.stage(p.step(joinWeights, { a, b, c, y }, args))
  return y
}
