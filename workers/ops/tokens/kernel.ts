/** What stands around a stack in a language model. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import { euclideanNorm } from '../rows.ts'
import type * as op from './op.ts'
import type { EmbedArgs, EmbedBackwardArgs, EmbedTensors, JoinArgs, PoolingArgs } from './op.ts'

const COLUMNS = 64

/** y[r] = factor·scales[r]·table[ids[r]] + positions[places[r]] + types[kinds[r]]. A unit is one row; writes it. */
export function embedTokens(t: EmbedTensors, a: EmbedArgs, from: number, to: number): void {
  const { dim } = a
  for (let row = from; row < to; row++) {
    const factor = a.factor * (t.scales?.[row] ?? 1)
    const token = t.ids[row] * dim
    const place = (t.places?.[row] ?? 0) * dim
    const kind = (t.kinds?.[row] ?? 0) * dim
    for (let d = 0; d < dim; d++) {
      let sum = factor * t.table[token + d]
      if (t.positions !== undefined) sum += t.positions[place + d]
      if (t.types !== undefined) sum += t.types[kind + d]
      t.y[row * dim + d] = sum
    }
  }
}

/** gradTable[v] = factor·Σ gradY[r] over the rows with ids[r] = v. A unit is COLUMNS columns; writes all entries of them. */
export function embedBackward(
  t: Tensors<typeof op.embedBackward>,
  a: EmbedBackwardArgs,
  from: number,
  to: number,
): void {
  const { dim, entries, rows, factor } = a
  for (let unit = from; unit < to; unit++) {
    const begin = unit * COLUMNS
    const end = Math.min(begin + COLUMNS, dim)
    for (let entry = 0; entry < entries; entry++) t.gradTable.fill(0, entry * dim + begin, entry * dim + end)
    for (let row = 0; row < rows; row++) {
      const entry = t.ids[row] * dim
      for (let d = begin; d < end; d++) t.gradTable[entry + d] += factor * t.gradY[row * dim + d]
    }
  }
}

/** y = x + shift. */
export function widenWeights(
  t: Tensors<typeof op.widenWeights>,
  { count, shift }: Args<typeof op.widenWeights>,
  from: number,
  to: number,
): void {
  const end = Math.min(to * ELEMENT_BLOCK, count)
  if (shift === 0) t.y.set(t.x.subarray(from * ELEMENT_BLOCK, end), from * ELEMENT_BLOCK)
  else for (let at = from * ELEMENT_BLOCK; at < end; at++) t.y[at] = t.x[at] + shift
}

/** y[r, c] = the part that has row r (or column c), as it stands or transposed. A unit is one row of y; writes it. */
export function joinWeights(t: Tensors<typeof op.joinWeights>, a: JoinArgs, from: number, to: number): void {
  const byRows = a.axis === 'rows'
  const whole = byRows ? a.rows : a.columns
  const parts: [part: Reals | undefined, begin: number, end: number][] = [
    [t.a, 0, a.first],
    [t.b, a.first, a.first + a.second],
    [t.c, a.first + a.second, whole],
  ]
  for (let row = from; row < to; row++) {
    for (const [part, begin, end] of parts) {
      if (part === undefined || (byRows && (row < begin || row >= end))) continue
      const height = byRows ? end - begin : a.rows
      const width = byRows ? a.columns : end - begin
      const own = byRows ? row - begin : row
      const at = row * a.columns + (byRows ? 0 : begin)
      for (let c = 0; c < width; c++)
        t.y[at + c] = a.transposed ? part[c * height + own] : part[own * width + c]
    }
  }
}

/** y[i] = x[chosen[i]]. */
export function takeRows(
  t: Tensors<typeof op.takeRows>,
  { dim }: Args<typeof op.takeRows>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = t.chosen[row] * dim
    t.y.set(t.x.subarray(at, at + dim), row * dim)
  }
}

/** gradX[r] = Σ gradY[i] over chosen[i] = r. */
export function putRows(
  t: Tensors<typeof op.putRows>,
  { count, dim }: Args<typeof op.putRows>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    t.gradX.fill(0, row * dim, (row + 1) * dim)
    for (let i = 0; i < count; i++) {
      if (t.chosen[i] !== row) continue
      for (let d = 0; d < dim; d++) t.gradX[row * dim + d] += t.gradY[i * dim + d]
    }
  }
}

/**
 *   logit            value = l_t                gradient = [j = t]
 *   log_probability  value = l_t − ln Σ exp l   gradient = [j = t] − softmax(l)_j
 */
export function tokenObjective(
  t: Tensors<typeof op.tokenObjective>,
  { vocabulary, kind }: Args<typeof op.tokenObjective>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * vocabulary
    const target = t.targets[row]
    const logit = t.logits[at + target]
    if (kind === 'logit') {
      t.gradLogits.fill(0, at, at + vocabulary)
      t.gradLogits[at + target] = 1
      t.values[row] = logit
      continue
    }
    const [most, sum] = softmaxOf(t.logits, at, vocabulary)
    t.values[row] = logit - most - Math.log(sum)
    for (let j = 0; j < vocabulary; j++) {
      t.gradLogits[at + j] = (j === target ? 1 : 0) - Math.exp(t.logits[at + j] - most) / sum
    }
  }
}

/** Of a row: its maximum, and Σ exp(l − maximum). */
function softmaxOf(logits: Reals, at: number, vocabulary: number): [most: number, sum: number] {
  let most = Number.NEGATIVE_INFINITY
  for (let j = at; j < at + vocabulary; j++) if (logits[j] > most) most = logits[j]
  let sum = 0
  for (let j = at; j < at + vocabulary; j++) sum += Math.exp(logits[j] - most)
  return [most, sum]
}

/** gradX = gradY·(1 − (y/cap)²). */
export function capBackward(
  t: Tensors<typeof op.capBackward>,
  { count, cap }: Args<typeof op.capBackward>,
  from: number,
  to: number,
): void {
  const end = Math.min(to * ELEMENT_BLOCK, count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) t.gradX[at] = t.gradY[at] * (1 - (t.y[at] / cap) ** 2)
}

/** The largest logits of a row, by insertion into a short sorted list; of equal ones the lower id comes first. */
export function topTokens(
  t: Tensors<typeof op.topTokens>,
  { vocabulary, top }: Args<typeof op.topTokens>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * vocabulary
    const [most, sum] = softmaxOf(t.logits, at, vocabulary)
    const found = largestOf(t.logits, at, vocabulary, top)
    for (let rank = 0; rank < top; rank++) {
      const id = found[rank]
      t.found[2 * (row * top + rank)] = id
      t.found[2 * (row * top + rank) + 1] = Math.exp(t.logits[at + id] - most) / sum
    }
  }
}

/** Indices of the `top` largest of `count` elements from `at` on, the largest first. */
export function largestOf(x: Reals, at: number, count: number, top: number): Int32Array {
  const found = new Int32Array(top)
  let length = 0
  for (let j = 0; j < count; j++) {
    const value = x[at + j]
    if (length === top && !(value > x[at + found[top - 1]])) continue
    let rank = length < top ? length++ : top - 1
    while (rank > 0 && value > x[at + found[rank - 1]]) {
      found[rank] = found[rank - 1]
      rank--
    }
    found[rank] = j
  }
  return found
}

/** Whether row i of a sequence counts, and with what share. */
function shareOf(real: Int32Array, from: number, positions: number, pooling: PoolingArgs['pooling']) {
  let count = 0
  let last = 0
  for (let i = 0; i < positions; i++) {
    if (real[from + i] === 0) continue
    count++
    last = i
  }
  if (pooling === 'mean') return (i: number) => (real[from + i] === 0 ? 0 : 1 / count)
  const one = pooling === 'cls' ? 0 : last
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

/** values[r] = Σ_s shares[s]·Σ_d x[r, d]·grad[s, r, d]. */
export function pathDots(
  t: Tensors<typeof op.pathDots>,
  { rows, dim, steps }: Args<typeof op.pathDots>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    let sum = 0
    for (let step = 0; step < steps; step++) {
      const at = (step * rows + row) * dim
      let along = 0
      for (let d = 0; d < dim; d++) along += t.x[row * dim + d] * t.grad[at + d]
      sum += t.shares[step] * along
    }
    t.values[row] = sum
  }
}
