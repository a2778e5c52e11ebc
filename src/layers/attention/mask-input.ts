/** A request's dense mask as a buffer in which true means: may attend. */
import type { Ref } from '../../../workers/contract.ts'
import { invertMask } from '../../../workers/ops/compare/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { RequestProgram } from '../program-builder.ts'

export function inputMask(p: RequestProgram, mask: TensorSource): Ref {
  const x = p.inputMask('/mask', mask)
  if (!mask.negated) return x
  const y = p.buffer({ type: 'uint8', length: mask.count })
  p.stage(p.step(invertMask, { x, y }, { count: mask.count }))
  return y
}
