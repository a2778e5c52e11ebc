/** What stands around a stack in a language model. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import type * as op from './op.ts'
import type { EmbedArgs, EmbedBackwardArgs, EmbedTensors, JoinArgs } from './op.ts'

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
export function softmaxOf(logits: Reals, at: number, vocabulary: number): [most: number, sum: number] {
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

/** values[r] = Σ_d a·b. */
export function rowDots(
  t: Tensors<typeof op.rowDots>,
  { dim }: Args<typeof op.rowDots>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    let sum = 0
    for (let at = row * dim; at < (row + 1) * dim; at++) sum += t.a[at] * t.b[at]
    t.values[row] = sum
  }
}

/**
 * With d_k,i = Σ_d x_i·∂f/∂x_i at α_k·x, each interval of the path gives its rows
 *
 *   a_i = (α_{k+1} − α_k)·½·(d_k,i + d_{k+1},i)     (the first one: (α_1 − α_0)·d_1,i)
 *
 * and what these lack of f(α_{k+1}) − f(α_k), in proportion to |a_i|: the sum of all is f(x) − f(0), however quickly f turns between two
 * points (as behind norms of what is nearly 0), and where it turns slowly it is the trapezoidal rule.
 */
export function pathSums(
  t: Tensors<typeof op.pathSums>,
  { batch, positions, dim, points }: Args<typeof op.pathSums>,
  from: number,
  to: number,
): void {
  for (let b = from; b < to; b++) {
    const sums = new Float64Array(positions)
    const part = new Float64Array(positions)
    const along = (point: number, i: number) => {
      const at = ((point * batch + b) * positions + i) * dim
      let sum = 0
      for (let d = 0; d < dim; d++) sum += t.x[(b * positions + i) * dim + d] * t.grad[at + d]
      return sum
    }
    let before = new Float64Array(positions)
    for (let point = 1; point < points; point++) {
      const here = Float64Array.from({ length: positions }, (_, i) => along(point, i))
      const width = t.places[point] - t.places[point - 1]
      let missing = t.values[point * batch + b] - t.values[(point - 1) * batch + b]
      let size = 0
      for (let i = 0; i < positions; i++) {
        part[i] = width * (point === 1 ? here[i] : 0.5 * (before[i] + here[i]))
        missing -= part[i]
        size += Math.abs(part[i])
      }
      for (let i = 0; i < positions; i++)
        sums[i] += part[i] + (size === 0 ? missing / positions : (missing * Math.abs(part[i])) / size)
      before = here
    }
    for (let i = 0; i < positions; i++) t.y[b * positions + i] = sums[i]
  }
}
