/** Tensors of rank 3 that are [N, H, d] in a dialect: the same request with a batch of one, and its answer without it. */
import type { TensorSource } from '../../../formats/tensor.ts'
import type { RequestProgram } from '../../program-builder.ts'
import { DIALECTS } from './list.ts'
import type { Spoken } from './spoken.ts'

export function isWithoutBatch({ dialect, q, cu_seqlens_q }: Spoken): boolean {
  if (dialect === undefined || cu_seqlens_q !== undefined || q?.shape.length !== 3) return false
  return DIALECTS[dialect].withoutBatch === true
}

/** Members that have the axes of q, k, v or of the answer. */
const OF_REQUEST = ['q', 'k', 'v', 'past_k', 'past_v']
const BELOW = {
  backward: ['grad_output', 'target', 'grad_weights', 'grad_logsumexp'],
  jvp: ['q', 'k', 'v'],
}

export function withBatch<R extends Spoken>(request: R): R {
  const found = batched(request, OF_REQUEST)
  for (const [member, names] of Object.entries(BELOW)) {
    const below = (found as Record<string, unknown>)[member]
    if (below !== undefined) Object.assign(found, { [member]: batched(below as object, names) })
  }
  return found
}

function batched<T extends object>(fields: T, names: string[]): T {
  const found = { ...fields } as T & Record<string, TensorSource>
  for (const name of names) {
    const source = found[name] as TensorSource | undefined
    if (source !== undefined)
      Object.assign(found, { [name]: { ...source, shape: [1, ...source.shape], written: source.shape } })
  }
  return found
}

/** Everything that a request of attention answers begins with the batch, but gradients of what has none. */
export function dropBatch(p: RequestProgram): void {
  for (const output of p.outputs) {
    if (!/^grads\.(mask|sinks|relative_bias)/.test(output.name)) output.shape = output.shape.slice(1)
  }
}
