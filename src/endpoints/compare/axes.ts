/** Where the heads and rows of an answer's tensor stand: what is compared is compared head by head. */
import { indices, product } from '../../formats/tensor.ts'

/** A tensor as [batch, heads, rows, dim], for the ops that compare; `heads` and `batch` may be one and the other, or neither. */
export interface Axes {
  batch: number
  heads: number
  rows: number
  dim: number
  batchStride: number
  headStride: number
  rowStride: number
  /** the tensor's axes that number its heads */
  headAxes: number[]
  /** whether its last axis is within a row */
  inRow: boolean
}

/** Fields of a body that say in which order its tensors have their axes. */
export interface Order {
  layout?: string | undefined
  cu_seqlens_q?: unknown
}

/** A number for each row: no axis within it. */
const OF_ROWS = /(^|\.|_)(logsumexp|entropy)$/
/** In the order that `layout` says. */
const IN_ORDER = /^(output|present_[kv]|grads\.(q|k|v|past_k|past_v))$/

export function axesOf(name: string, shape: number[], order: Order): Axes {
  const inRow = !OF_ROWS.test(name) && shape.length > 0
  const dim = inRow ? shape[shape.length - 1] : 1
  const outer = inRow ? shape.slice(0, -1) : shape
  const ordered = IN_ORDER.test(name)
  if (ordered && order.layout === 'bnhd' && shape.length === 4) {
    const [batch, rows, heads] = shape
    const strides = { batchStride: rows * heads * dim, headStride: dim, rowStride: heads * dim }
    return { batch, heads, rows, dim, ...strides, headAxes: [0, 2], inRow }
  }
  if (ordered && order.cu_seqlens_q !== undefined && shape.length === 3) {
    const [rows, heads] = shape
    const strides = { batchStride: 0, headStride: dim, rowStride: heads * dim }
    return { batch: 1, heads, rows, dim, ...strides, headAxes: [1], inRow }
  }
  const rows = outer.at(-1) ?? 1
  const batch = product(outer.slice(0, -1))
  const strides = { batchStride: rows * dim, headStride: 0, rowStride: dim }
  return {
    batch,
    heads: 1,
    rows,
    dim,
    ...strides,
    headAxes: outer.slice(0, -1).map((_, axis) => axis),
    inRow,
  }
}

/** The index of a head, [b, h]. */
export function headIndex(axes: Axes, shape: number[], unit: number): number[] {
  const all = indices(shape, startOf(axes, unit))
  return axes.headAxes.map(axis => all[axis])
}

/** The index of a row's first element, without the axis within the row. */
export function rowIndex(axes: Axes, shape: number[], unit: number, row: number): number[] {
  const all = indices(shape, startOf(axes, unit) + row * axes.rowStride)
  return axes.inRow ? all.slice(0, -1) : all
}

function startOf({ heads, batchStride, headStride }: Axes, unit: number): number {
  return Math.floor(unit / heads) * batchStride + (unit % heads) * headStride
}
