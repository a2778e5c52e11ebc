/** Gradients of weights as the checkpoint has them: by its names, in its orientation, parts put together again. */
import type { Ref } from '../../workers/contract.ts'
import { joinWeights } from '../../workers/ops/tokens/op.ts'
import { product } from '../formats/tensor.ts'
import type { LoadedModel } from './loaded.ts'
import type { PlacedWeight } from './plan.ts'
import type { ProgramWeights, WeightGradients } from './program-weights.ts'
import type { Role } from './run.ts'

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
    const joined = joinedWeight(weights, parts, name => found.get(name))
    if (joined !== undefined) p.output(`grads.params.${tensor}`, joined.ref, joined.shape)
  }
}

/** Of a tensor; undefined where a part has no gradient. */
export function joinedWeight(
  weights: ProgramWeights,
  parts: PlacedWeight[],
  gradientOf: (name: string) => Ref | undefined,
): { ref: Ref; shape: number[] } | undefined {
  const ordered = parts.toSorted((a, b) => a.from - b.from)
  const refs = ordered.map(({ name }) => gradientOf(name))
  if (refs.includes(undefined)) return undefined
  return { ref: joined(weights, ordered, refs as Ref[]), shape: ordered[0].stored }
}

/** The one layer that all parts of a tensor are of. The last norm is of the last layer, and what all layers share of the first: there its gradient is complete. */
export function layerOfTensor(
  { plan: { stack, encoderStack } }: LoadedModel,
  parts: readonly PlacedWeight[],
): { role: Role; layer: number } | undefined {
  let found: { role: Role; layer: number } | undefined
  for (const { name } of parts) {
    const [, prefix, layer, other] = OF_LAYER.exec(name) ?? []
    if (layer === undefined && other === undefined) return undefined
    const role = prefix === undefined ? 'decoder' : 'encoder'
    const last = ((role === 'encoder' ? encoderStack : stack)?.layers ?? 1) - 1
    const of = {
      role,
      layer: layer !== undefined ? Number(layer) : other === 'final_norm' ? last : 0,
    } as const
    if (found !== undefined && (found.role !== of.role || found.layer !== of.layer)) return undefined
    found = of
  }
  return found
}

const OF_LAYER = /^(encoder\.)?(?:layers\.(\d+)\.|(final_norm|relative_bias)\.)/

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
