/** A problem for one op: what the contract suite of `workers/ops` runs. Each family draws its own, in its `cases.ts`. */
import { type Op, scratchBytes } from '../../workers/ops/define-op.ts'
import { normalNumbers } from './numbers.ts'

export type Input = Float64Array | Int32Array | Uint8Array
export type Inputs = Record<string, Input>
export type Numbers = ArrayLike<number>

/** In which order a plain evaluation forms its sums. */
export type Order = 'ascending' | 'descending'

export interface OpCase {
  op: Op
  args: object
  /** reals are float32 numbers in float64, so that both precisions see the same problem */
  inputs: Inputs
  /** lengths of the tensors that are written */
  outputs: Record<string, number>
  /** what the formulas give in plain float32, every operation rounded; the yardstick for the float32 kernel's error */
  plain?: (order: Order) => Record<string, Float32Array>
  /** the same problem with other numbers: a small tensor's plain evaluation may be exact by luck */
  again?: (seed: number) => OpCase
  /** the inputs with NaN wherever the op must not look */
  hidden?: Inputs
}

export type Random = (length: number, scale?: number, shift?: number) => Float64Array

/** Normal numbers that float32 can hold. */
export function randomTensors(seed: number): Random {
  const normal = normalNumbers(seed)
  return (length, scale = 1, shift = 0) => {
    return Float64Array.from({ length }, () => Math.fround(shift + scale * normal()))
  }
}

export function unitsOf({ op, args }: OpCase): number {
  return op.units({ ...args })
}

/** Bytes of scratch memory that a task of the case would be given. */
export function scratchOf({ op, args }: OpCase): number {
  return op.shared ? 0 : scratchBytes(op, { ...args })
}

/** For messages. */
export function describeCase({ op, args }: OpCase): string {
  return `${op.name} ${JSON.stringify(args)}`
}

/** Those that are there. */
export function given<V>(values: Record<string, V | false | undefined>): Record<string, V> {
  const result: Record<string, V> = {}
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== false) result[name] = value
  }
  return result
}

/** The inputs with NaN at these ranges of elements, of those that are there. */
export function withNaN(inputs: Inputs, places: Record<string, [from: number, to: number][]>): Inputs {
  const result = { ...inputs }
  for (const [name, ranges] of Object.entries(places)) {
    if (inputs[name] === undefined) continue
    const values = inputs[name].slice()
    for (const [from, to] of ranges) values.fill(Number.NaN, from, to)
    result[name] = values
  }
  return result
}

/** Where rows of [batch, heads, queries, dimV] stand that are padding, or with positions before heads. */
export function paddingOf(
  { batch, heads, queries, dimV }: { batch: number; heads: number; queries: number; dimV: number },
  qLengths: Int32Array,
  positionsFirst: boolean,
): [from: number, to: number][] {
  // rows that follow one another: those of a head, or of all heads
  const together = positionsFirst ? heads : 1
  return Array.from({ length: (batch * heads) / together }, (_, unit) => {
    const live = qLengths[Math.floor((unit * together) / heads)]
    const width = together * dimV
    return [(unit * queries + live) * width, (unit + 1) * queries * width]
  })
}

/** The outputs of a plain evaluation, all 0. */
export function plainOutputs({ outputs }: OpCase): Record<string, Float32Array> {
  return Object.fromEntries(Object.entries(outputs).map(([name, length]) => [name, new Float32Array(length)]))
}

/** Σ of `term` over [0, count), every addition rounded to float32. */
export function plainSum(order: Order, count: number, term: (index: number) => number): number {
  let total = 0
  for (let index = 0; index < count; index++) {
    total = Math.fround(total + term(order === 'ascending' ? index : count - 1 - index))
  }
  return total
}
