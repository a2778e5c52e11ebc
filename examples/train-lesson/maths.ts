/** What the trainer computes itself, on rows of d numbers: layer norms, products, the softmax, and the way back through each. */

/** Rows of `x` are [rows, columns]; `weight` is [columns, width]. */
export function product(x: Float32Array, weight: Float32Array, columns: number, width: number): Float32Array {
  const rows = x.length / columns
  const y = new Float32Array(rows * width)
  for (let row = 0; row < rows; row++) {
    const into = y.subarray(row * width, (row + 1) * width)
    for (let column = 0; column < columns; column++) {
      const factor = x[row * columns + column]
      if (factor === 0) continue
      for (let at = 0, from = column * width; at < width; at++, from++) into[at] += factor * weight[from]
    }
  }
  return y
}

/** [rows, columns] → [columns, rows] */
export function transposed(x: Float32Array, columns: number): Float32Array {
  const rows = x.length / columns
  return x.map((_, at) => x[(at % rows) * columns + Math.floor(at / rows)])
}

export function addRow(x: Float32Array, row: Float32Array): Float32Array {
  return x.map((value, at) => value + row[at % row.length])
}

/** The sum of the rows. */
export function sumOfRows(x: Float32Array, columns: number): Float32Array {
  const sum = new Float32Array(columns)
  for (let at = 0; at < x.length; at++) sum[at % columns] += x[at]
  return sum
}

export interface Normed {
  y: Float32Array<ArrayBuffer>
  /** rows with mean 0 and variance 1, before gamma and beta */
  unit: Float32Array
  /** 1/σ of each row */
  factors: Float32Array
}

export function layerNorm(x: Float32Array, gamma: Float32Array, beta: Float32Array, eps: number): Normed {
  const columns = gamma.length
  const factors = new Float32Array(x.length / columns)
  const unit = new Float32Array(x.length)
  for (let row = 0; row < factors.length; row++) {
    const values = x.subarray(row * columns, (row + 1) * columns)
    const mean = values.reduce((sum, value) => sum + value, 0) / columns
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns
    factors[row] = 1 / Math.sqrt(variance + eps)
    for (let at = 0; at < columns; at++) unit[row * columns + at] = (values[at] - mean) * factors[row]
  }
  return { y: unit.map((value, at) => value * gamma[at % columns] + beta[at % columns]), unit, factors }
}

export function layerNormBackward({ unit, factors }: Normed, gamma: Float32Array, gradY: Float32Array) {
  const columns = gamma.length
  const gradX = new Float32Array(gradY.length)
  for (let row = 0; row < factors.length; row++) {
    const begin = row * columns
    let [sum, along] = [0, 0]
    for (let at = 0; at < columns; at++) {
      const slope = gradY[begin + at] * gamma[at]
      sum += slope
      along += slope * unit[begin + at]
    }
    for (let at = 0; at < columns; at++) {
      const slope = gradY[begin + at] * gamma[at]
      gradX[begin + at] = factors[row] * (slope - sum / columns - (unit[begin + at] * along) / columns)
    }
  }
  const gradGamma = sumOfRows(
    gradY.map((value, at) => value * unit[at]),
    columns,
  )
  return { gradX, gradGamma, gradBeta: sumOfRows(gradY, columns) }
}

/** −log of the probability of each row's target, the gradient of their weighted sum, and whether the target is the most probable. */
export function crossEntropy(logits: Float32Array, targets: { id: number; weight: number }[]) {
  const width = logits.length / targets.length
  const gradient = new Float32Array(logits.length)
  const losses: number[] = []
  const right: boolean[] = []
  for (const [row, { id, weight }] of targets.entries()) {
    const scores = logits.subarray(row * width, (row + 1) * width)
    const most = scores.reduce((best, score) => Math.max(best, score), -Infinity)
    const total = scores.reduce((sum, score) => sum + Math.exp(score - most), 0)
    losses.push(Math.log(total) + most - scores[id])
    right.push(scores[id] === most)
    for (let at = 0; at < width; at++) {
      const probability = Math.exp(scores[at] - most) / total
      gradient[row * width + at] = weight * (probability - Number(at === id))
    }
  }
  return { losses, right, gradient }
}

export type Parameters = Record<string, { shape: number[]; data: Float32Array<ArrayBuffer> }>
export type Gradients = Record<string, Float32Array>

/** Kingma & Ba 2015, with decoupled decay of matrices (Loshchilov & Hutter 2019) and gradients cut to a norm of 1. */
export class Adam {
  readonly #decay: number
  #step = 0
  readonly #moments = new Map<string, [mean: Float32Array, square: Float32Array]>()

  constructor(decay: number) {
    this.#decay = decay
  }

  update(parameters: Parameters, gradients: Gradients, rate: number): void {
    const [beta1, beta2] = [0.9, 0.98]
    this.#step++
    const [fill1, fill2] = [1 - beta1 ** this.#step, 1 - beta2 ** this.#step]
    let square = 0
    for (const gradient of Object.values(gradients)) for (const value of gradient) square += value * value
    const cut = Math.min(1, 1 / Math.sqrt(square))
    for (const [name, gradient] of Object.entries(gradients)) {
      const { data, shape } = parameters[name]
      const [mean, squares] = this.#moments.get(name) ?? [
        new Float32Array(data.length),
        new Float32Array(data.length),
      ]
      this.#moments.set(name, [mean, squares])
      const decay = shape.length > 1 ? this.#decay * rate : 0
      for (let at = 0; at < data.length; at++) {
        const slope = gradient[at] * cut
        mean[at] = beta1 * mean[at] + (1 - beta1) * slope
        squares[at] = beta2 * squares[at] + (1 - beta2) * slope * slope
        const move = mean[at] / fill1 / (Math.sqrt(squares[at] / fill2) + 1e-8)
        data[at] -= rate * move + decay * data[at]
      }
    }
  }
}
