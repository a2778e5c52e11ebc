/** Rows of a sequence as one vector, and below it its gradient. */
import type { Tensors } from '../define-op.ts'
import { euclideanNorm } from '../rows.ts'
import type * as op from './op.ts'
import type { PoolingArgs } from './op.ts'

/** Whether row i of a sequence counts, and with what share. */
function shareOf(real: Int32Array, from: number, positions: number, pooling: PoolingArgs['pooling']) {
  let count = 0
  let [first, last] = [0, 0]
  for (let i = 0; i < positions; i++) {
    if (real[from + i] === 0) continue
    if (count++ === 0) first = i
    last = i
  }
  if (pooling === 'mean') return (i: number) => (real[from + i] === 0 ? 0 : 1 / count)
  const one = pooling === 'cls' ? first : last
  return (i: number) => (i === one ? 1 : 0)
}

/** m[b] = Σ_i share_i·x[b, i]; y = m or m/‖m‖ (0 where m is). */
export function poolRows(t: Tensors<typeof op.poolRows>, a: PoolingArgs, from: number, to: number): void {
  for (let b = from; b < to; b++) {
    const { sums, norm } = pooled(t, a, b)
    for (let d = 0; d < a.dim; d++) t.y[b * a.dim + d] = norm === 0 ? 0 : sums[d] / norm
  }
}

function pooled(
  { x, real }: Pick<Tensors<typeof op.poolRows>, 'x' | 'real'>,
  { positions, dim, pooling, normalised }: PoolingArgs,
  b: number,
) {
  const share = shareOf(real, b * positions, positions, pooling)
  const sums = new Float64Array(dim)
  for (let i = 0; i < positions; i++) {
    const part = share(i)
    if (part === 0) continue
    const at = (b * positions + i) * dim
    for (let d = 0; d < dim; d++) sums[d] += part * x[at + d]
  }
  return { share, sums, norm: normalised ? euclideanNorm(sums, 0, dim) : 1 }
}

/** ∂m = (g − y·(y·g))/‖m‖ where it is normalised, else g; ∂x[b, i] = share_i·∂m. */
export function poolBackward(
  t: Tensors<typeof op.poolBackward>,
  a: PoolingArgs,
  from: number,
  to: number,
): void {
  const { positions, dim, normalised } = a
  for (let b = from; b < to; b++) {
    const { share, sums, norm } = pooled(t, a, b)
    const grad = new Float64Array(dim)
    let along = 0
    for (let d = 0; d < dim; d++) along += norm === 0 ? 0 : (sums[d] / norm) * t.gradY[b * dim + d]
    for (let d = 0; d < dim; d++) {
      const g = t.gradY[b * dim + d]
      if (!normalised) grad[d] = g
      else grad[d] = norm === 0 ? 0 : (g - (sums[d] / norm) * along) / norm
    }
    for (let i = 0; i < positions; i++) {
      const part = share(i)
      const at = (b * positions + i) * dim
      for (let d = 0; d < dim; d++) t.gradX[at + d] = part === 0 ? 0 : part * grad[d]
    }
  }
}
