/** Tensors that lie in the shared memory already: weights of a model that is loaded, float32 whatever the request's precision. */
import type { Ref, Step } from '../../workers/contract.ts'
import { widenWeights } from '../../workers/ops/tokens/op.ts'
import type { TensorSource } from '../formats/tensor.ts'
import type { ProgramBuilder } from './program-builder.ts'

/** In the program's precision: where it lies, or by a step that is the caller's to put into a stage before it is read. */
export function keptInput(p: ProgramBuilder, source: TensorSource): { ref: Ref; step?: Step } {
  const { count, shift = 0 } = source
  const x = asItLies(p, source)
  if (p.precision === 'float32' && shift === 0) return { ref: x }
  const ref = p.reals(count)
  return { ref, step: p.step(widenWeights, { x, y: ref }, { count, shift }) }
}

/** In float32, for an op that reads either precision. */
export function asItLies(p: ProgramBuilder, { bytes, start, count }: TensorSource): Ref {
  return p.buffer({ type: 'float32', length: count, at: bytes.byteOffset + start })
}
