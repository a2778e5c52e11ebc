/** Gradients and parameters of a request as outputs, under the names that the contract gives them. */
import type { Ref } from '../../workers/task.ts'
import type { TensorSource } from '../formats/tensor.ts'
import type { Param } from './params.ts'
import type { RequestProgram } from './program-builder.ts'

/** `grads.<input>`, in the input's own shape, wherever there is a gradient. */
export function answerGradients(
  p: RequestProgram,
  gradients: Record<string, readonly [gradient: Ref | undefined, input: TensorSource | undefined]>,
): void {
  for (const [name, [gradient, input]] of Object.entries(gradients)) {
    if (gradient !== undefined && input !== undefined) p.output(`grads.${name}`, gradient, input.shape)
  }
}

/** `<prefix>params.<name>` for every parameter that `refOf` knows a buffer of. */
export function answerParams(
  p: RequestProgram,
  prefix: '' | 'grads.',
  params: Param[],
  refOf: (param: Param) => Ref | undefined,
): void {
  for (const param of params) {
    const ref = refOf(param)
    if (ref !== undefined) p.output(`${prefix}params.${param.name}`, ref, param.shape)
  }
}
