/**
 * What a plain float32 program would compute of a layer's problem: the formulas as they stand, loop by loop, every operation
 * rounded, sums in ascending or in descending order.
 */
import { normalCumulative } from '../../../../workers/kernels/reference/error-function.ts'
import {
  type ActivationArgs,
  type ActivationKind,
  type AddArgs,
  type ColumnSumsArgs,
  type LinearArgs,
  NORM_ROWS,
  type NormArgs,
} from '../../../../workers/layer-args.ts'
import type { QkNormArgs, RopeArgs } from '../../../../workers/task.ts'
import type { LayerCase } from '../layer-case.ts'
import type { Order } from './plain-float32.ts'

const f = Math.fround
type Outputs = Record<string, Float32Array>

export function plainLayer(c: LayerCase, order: Order): Outputs {
  const outputs = Object.fromEntries(
    Object.entries(c.outputs).map(([name, length]) => [name, new Float32Array(length)]),
  )
  const evaluate = {
    linearForward: plainLinear,
    linearBackwardInput: plainLinear,
    linearBackwardWeight: plainLinear,
    normForward: plainNorm,
    normBackward: plainNorm,
    activationForward: plainActivation,
    activationBackward: plainActivation,
    qkNormForward: plainQkNorm,
    qkNormBackward: plainQkNorm,
    ropeForward: plainRope,
    ropeBackward: plainRope,
    columnSums: plainColumnSums,
    add: plainAdd,
    dropoutRows: undefined,
  }[c.op]
  if (evaluate === undefined) throw new Error(`${c.op} is held to the reference by its bits`)
  evaluate(c, order, outputs)
  return outputs
}

function sum(order: Order, count: number, term: (index: number) => number): number {
  let total = 0
  for (let index = 0; index < count; index++) {
    total = f(total + term(order === 'ascending' ? index : count - 1 - index))
  }
  return total
}

function plainLinear(c: LayerCase, order: Order, out: Outputs): void {
  const a = c.args as LinearArgs
  const { x, weight, gradY, bias, residual } = c.inputs
  const rows = a.batch * a.positions
  const place = (row: number, column: number, heads: number, dim: number) => {
    const width = dim / heads
    const [b, position] = [Math.floor(row / a.positions), row % a.positions]
    const [head, j] = [Math.floor(column / width), column % width]
    return ((b * heads + head) * a.positions + position) * width + j
  }
  const input = (row: number, column: number) => place(row, column, a.headsIn, a.dimIn)
  const output = (row: number, column: number) => place(row, column, a.headsOut, a.dimOut)
  const each = (m: number, n: number, run: (row: number, column: number) => void) => {
    for (let row = 0; row < m; row++) for (let column = 0; column < n; column++) run(row, column)
  }
  if (c.op === 'linearForward') {
    each(rows, a.dimOut, (r, column) => {
      const at = output(r, column)
      const product = sum(order, a.dimIn, k => f(x[input(r, k)] * weight[k * a.dimOut + column]))
      out.y[at] = f(f(product + (bias?.[column] ?? 0)) + (residual?.[at] ?? 0))
    })
  } else if (c.op === 'linearBackwardInput') {
    each(rows, a.dimIn, (r, k) => {
      const at = input(r, k)
      const product = sum(order, a.dimOut, column =>
        f(gradY[output(r, column)] * weight[k * a.dimOut + column]),
      )
      out.gradX[at] = f(product + (residual?.[at] ?? 0))
    })
  } else {
    each(a.dimIn, a.dimOut, (k, column) => {
      out.gradWeight[k * a.dimOut + column] = sum(order, rows, r =>
        f(x[input(r, k)] * gradY[output(r, column)]),
      )
    })
  }
}

function plainNorm(c: LayerCase, order: Order, out: Outputs): void {
  const { rows, dim, kind, eps } = c.args as NormArgs
  const { x, gamma, beta, gradY, residual } = c.inputs
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    const mean = kind === 'layer' ? f(sum(order, dim, d => x[at + d]) / dim) : 0
    const centred = (d: number) => f(x[at + d] - mean)
    const square = f(sum(order, dim, d => f(centred(d) * centred(d))) / dim)
    const r = f(Math.sqrt(f(square + f(eps))))
    const unit = (d: number) => f(centred(d) / r)
    if (c.op === 'normForward') {
      for (let d = 0; d < dim; d++) out.y[at + d] = f(f(unit(d) * (gamma?.[d] ?? 1)) + (beta?.[d] ?? 0))
      continue
    }
    const g = (d: number) => f(gradY[at + d] * (gamma?.[d] ?? 1))
    const meanG = kind === 'layer' ? f(sum(order, dim, g) / dim) : 0
    const along = f(sum(order, dim, d => f(g(d) * unit(d))) / dim)
    const partial = Math.floor(row / NORM_ROWS) * dim
    for (let d = 0; d < dim; d++) {
      const gradient = f(f(f(g(d) - meanG) - f(unit(d) * along)) / r)
      out.gradX[at + d] = f(gradient + (residual?.[at + d] ?? 0))
      if (out.partialGamma) out.partialGamma[partial + d] += f(gradY[at + d] * unit(d))
      if (out.partialBeta) out.partialBeta[partial + d] += gradY[at + d]
    }
  }
}

function plainQkNorm(c: LayerCase, order: Order, out: Outputs): void {
  const { rows, dim, kind, eps } = c.args as QkNormArgs
  const { x, gradY } = c.inputs
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    const squares = sum(order, dim, d => f(x[at + d] * x[at + d]))
    const norm = f(Math.sqrt(squares))
    const r = kind === 'l2' ? Math.max(norm, f(eps)) : f(Math.sqrt(f(f(squares / dim) + f(eps))))
    const unit = (d: number) => f(x[at + d] / r)
    let along = 0
    if (gradY && (kind === 'rms' || norm > eps)) along = sum(order, dim, d => f(unit(d) * gradY[at + d]))
    if (kind === 'rms') along = f(along / dim)
    for (let d = 0; d < dim; d++) {
      if (out.y) out.y[at + d] = unit(d)
      else out.gradX[at + d] = f(f(gradY[at + d] - f(unit(d) * along)) / r)
    }
  }
}

function plainRope(c: LayerCase, _: Order, out: Outputs): void {
  const { rows, positions, dim, dims, interleaved } = c.args as RopeArgs
  const [x, y] = c.op === 'ropeForward' ? [c.inputs.x, out.y] : [c.inputs.gradY, out.gradX]
  const turn = c.op === 'ropeForward' ? 1 : -1
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    for (let d = dims; d < dim; d++) y[at + d] = x[at + d]
    for (let j = 0; j < dims / 2; j++) {
      const [a, b] = interleaved ? [at + 2 * j, at + 2 * j + 1] : [at + j, at + j + dims / 2]
      const entry = (row % positions) * (dims / 2) + j
      const [cos, sin] = [c.inputs.cos[entry], turn * c.inputs.sin[entry]]
      y[a] = f(f(x[a] * cos) - f(x[b] * sin))
      y[b] = f(f(x[a] * sin) + f(x[b] * cos))
    }
  }
}

const ROOT = f(Math.sqrt(2 / Math.PI))
const CUBIC = f(0.044715)
const sigmoid = (x: number) => f(1 / f(1 + f(Math.exp(-x))))
const cumulative = (x: number) =>
  f(0.5 * f(1 + f(2 * normalCumulative(f(x * f(Math.SQRT1_2)) * Math.SQRT2) - 1)))
const density = (x: number) => f(f(Math.exp(f(-0.5 * f(x * x)))) * f(1 / Math.sqrt(2 * Math.PI)))
const inner = (x: number) => f(ROOT * f(x + f(CUBIC * f(f(x * x) * x))))
const siluSlope = (x: number) => f(sigmoid(x) * f(1 + f(x * f(1 - sigmoid(x)))))

const values: Record<Exclude<ActivationKind, 'swiglu'>, (x: number) => number> = {
  relu: x => Math.max(0, x),
  gelu: x => f(x * cumulative(x)),
  gelu_tanh: x => f(f(0.5 * x) * f(1 + f(Math.tanh(inner(x))))),
  silu: x => f(x * sigmoid(x)),
}
const slopes: typeof values = {
  relu: x => (x > 0 ? 1 : 0),
  gelu: x => f(cumulative(x) + f(x * density(x))),
  gelu_tanh: x => {
    const t = f(Math.tanh(inner(x)))
    const slope = f(ROOT * f(1 + f(f(3 * CUBIC) * f(x * x))))
    return f(f(0.5 * f(1 + t)) + f(f(f(0.5 * x) * f(1 - f(t * t))) * slope))
  },
  silu: siluSlope,
}

function plainActivation(c: LayerCase, _: Order, out: Outputs): void {
  const { kind, count } = c.args as ActivationArgs
  const { x, gate, gradY } = c.inputs
  for (let i = 0; i < count; i++) {
    if (kind === 'swiglu') {
      const silu = f(gate[i] * sigmoid(gate[i]))
      if (out.y) out.y[i] = f(silu * x[i])
      if (out.gradX) out.gradX[i] = f(silu * gradY[i])
      if (out.gradGate) out.gradGate[i] = f(f(siluSlope(gate[i]) * x[i]) * gradY[i])
    } else if (c.op === 'activationForward') {
      out.y[i] = values[kind](x[i])
    } else {
      out.gradX[i] = f(slopes[kind](x[i]) * gradY[i])
    }
  }
}

function plainColumnSums(c: LayerCase, order: Order, out: Outputs): void {
  const { batch, heads, positions, width } = c.args as ColumnSumsArgs
  for (let column = 0; column < heads * width; column++) {
    const [head, j] = [Math.floor(column / width), column % width]
    out.y[column] = sum(order, batch * positions, row => {
      const [b, position] = [Math.floor(row / positions), row % positions]
      return c.inputs.x[((b * heads + head) * positions + position) * width + j]
    })
  }
}

function plainAdd(c: LayerCase, _: Order, out: Outputs): void {
  const { count, period } = c.args as AddArgs
  for (let i = 0; i < count; i++) out.y[i] = f(c.inputs.a[i] + c.inputs.b[i % period])
}
