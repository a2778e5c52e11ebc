/** What is read off maps of attention. Sums are formed in float64 and rounded once. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { FiguresArgs, FiguresTensors } from './op.ts'

const FIGURES = 8

/**
 * Over the rows i with real[i] and Σ_j w_ij > 0, as means:
 *
 *   −Σ w ln w     Σ w·|i − j|     w_i,i−1     w_i0     w_ii     Σ_{special j} w     Σ_{j ≤ i, t_{j−1} = t_i} w
 */
export function headFigures(t: FiguresTensors, a: FiguresArgs, from: number, to: number): void {
  const { batch, heads, positions } = a
  for (let head = from; head < to; head++) {
    const sums = new Float64Array(FIGURES)
    for (let b = 0; b < batch; b++) {
      for (let i = 0; i < positions; i++) {
        if (t.real[b * positions + i] !== 0)
          addRow(t, sums, b, i, ((b * heads + head) * positions + i) * positions, positions)
      }
    }
    t.figures[head * FIGURES] = sums[0]
    for (let at = 1; at < FIGURES; at++)
      t.figures[head * FIGURES + at] = sums[0] === 0 ? 0 : sums[at] / sums[0]
  }
}

function addRow(
  t: FiguresTensors,
  sums: Float64Array,
  b: number,
  i: number,
  at: number,
  positions: number,
): void {
  const tokens = b * positions
  let total = 0
  let entropy = 0
  let distance = 0
  let special = 0
  let induction = 0
  for (let j = 0; j < positions; j++) {
    const w = t.weights[at + j]
    if (w === 0) continue
    total += w
    entropy -= w * Math.log(w)
    distance += w * Math.abs(i - j)
    if (t.special[tokens + j] !== 0) special += w
    if (j > 0 && j <= i && t.ids[tokens + j - 1] === t.ids[tokens + i]) induction += w
  }
  if (total === 0) return
  sums[0]++
  sums[1] += entropy
  sums[2] += distance
  if (i > 0) sums[3] += t.weights[at + i - 1]
  sums[4] += t.weights[at]
  sums[5] += t.weights[at + i]
  sums[6] += special
  sums[7] += induction
}

/** By insertion into a short sorted list; of equal ones the earlier key comes first. */
export function topKeys(
  t: Tensors<typeof op.topKeys>,
  { keys, top }: Args<typeof op.topKeys>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * keys
    const found: number[] = []
    for (let j = 0; j < keys; j++) {
      const value = t.weights[at + j]
      if (found.length === top && !(value > t.weights[at + found[top - 1]])) continue
      if (found.length === top) found.pop()
      let rank = found.length
      while (rank > 0 && value > t.weights[at + found[rank - 1]]) rank--
      found.splice(rank, 0, j)
    }
    for (let rank = 0; rank < top; rank++) {
      t.indices[row * top + rank] = found[rank]
      t.strongest[row * top + rank] = t.weights[at + found[rank]]
    }
  }
}

/** y_j = ½·Σ_i v_i·mean_h W_hij + ½·v_j. */
export function rolloutRow(
  t: Tensors<typeof op.rolloutRow>,
  { heads, positions }: Args<typeof op.rolloutRow>,
  from: number,
  to: number,
): void {
  for (let b = from; b < to; b++) {
    const sums = new Float64Array(positions)
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < positions; i++) {
        const v = t.v[b * positions + i]
        if (v !== 0) addScaled(sums, t.weights, ((b * heads + h) * positions + i) * positions, v / heads)
      }
    }
    for (let j = 0; j < positions; j++) t.y[b * positions + j] = 0.5 * (sums[j] + t.v[b * positions + j])
  }
}

function addScaled(sums: Float64Array, x: Reals, at: number, factor: number): void {
  for (let j = 0; j < sums.length; j++) sums[j] += factor * x[at + j]
}

/** y_j = sum_j + Σ_h max(0, W_hij·∂W_hij), i = chosen[b]. */
export function gradientRow(
  t: Tensors<typeof op.gradientRow>,
  { heads, positions }: Args<typeof op.gradientRow>,
  from: number,
  to: number,
): void {
  for (let b = from; b < to; b++) {
    for (let j = 0; j < positions; j++) {
      let sum = t.sum?.[b * positions + j] ?? 0
      for (let h = 0; h < heads; h++) {
        const at = ((b * heads + h) * positions + t.chosen[b]) * positions + j
        sum += Math.max(0, t.weights[at] * t.gradients[at])
      }
      t.y[b * positions + j] = sum
    }
  }
}
