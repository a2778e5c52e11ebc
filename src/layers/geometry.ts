/** The shapes of one attention request, normalised to rank 4, and what is wrong with them. */
import type { Ref } from '../../workers/contract.ts'
import type { AttentionArgs } from '../../workers/ops/attention/op.ts'
import { shapePointer, type TensorSource } from '../formats/tensor.ts'
import { fieldProblem } from '../problem.ts'

/** Without queries a request could name any number of heads at no cost to its sender. */
export const MOST_HEADS = 65536

type Extents = 'batch' | 'heads' | 'kvHeads' | 'queries' | 'keys' | 'dimK' | 'dimV'

export interface Geometry extends Pick<AttentionArgs, Extents> {
  /** whether answers have the axes batch and heads: those that the request leaves out they leave out too */
  batched: boolean
  headed: boolean
}

/** In which order a request's tensors of rank 4 have their axes; `packed`: [T,H,d], sequences one behind the other. */
export type Layout = 'bhnd' | 'bnhd' | 'packed'

/** q [B,H,N,d_k], k [B,H_kv,M,d_k], v [B,H_kv,M,d_v]; rank 3 is one head, rank 2 one head and one batch. */
export function attentionGeometry(
  q: TensorSource,
  k: TensorSource,
  v: TensorSource,
  layout: Layout = 'bhnd',
): Geometry {
  const rank = q.shape.length
  const packed = layout === 'packed'
  if (packed && rank !== 3) wrong('/q', q, 'expected [T, H, d_k] beside cu_seqlens_q')
  if (rank < 2 || rank > 4) wrong('/q', q, 'expected rank 2, 3 or 4')
  const axes = ({ shape }: TensorSource) => headsFirst(packed ? [1, ...shape] : rank4(shape), layout)
  const [batch, heads, queries, dimK] = axes(q)
  const shapeOf = (...full: (number | string)[]) => {
    const named = headsFirst(full, layout)
    const seen = packed
      ? named.slice(1)
      : rank === 4
        ? named
        : rank === 3
          ? [batch, ...full.slice(2)]
          : full.slice(2)
    return `expected [${seen.join(', ')}]`
  }
  if (k.shape.length !== rank || axes(k)[0] !== batch || axes(k)[3] !== dimK) {
    wrong('/k', k, shapeOf(batch, 'H_kv', 'M', dimK))
  }
  const [, kvHeads, keys] = axes(k)
  if (
    v.shape.length !== rank ||
    axes(v)
      .slice(0, 3)
      .some((extent, axis) => extent !== axes(k)[axis])
  ) {
    wrong('/v', v, shapeOf(batch, kvHeads, keys, 'd_v'))
  }
  const dimV = v.shape[rank - 1]
  if (heads === 0 || heads > MOST_HEADS) wrong('/q', q, `expected 1 to ${MOST_HEADS} heads`)
  if (dimK === 0) wrong('/q', q, 'expected d_k of at least 1')
  if (dimV === 0) wrong('/v', v, 'expected d_v of at least 1')
  if (kvHeads === 0 || heads % kvHeads !== 0) {
    wrong('/k', k, `expected H_kv that divides H = ${heads}`)
  }
  return {
    batched: rank > 2 && !packed,
    headed: rank > 3 || packed,
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    dimK,
    dimV,
  }
}

/** Puts back the axes that rank 2 and 3 leave out. */
function rank4(shape: number[]): number[] {
  if (shape.length === 2) return [1, 1, ...shape]
  return shape.length === 3 ? [shape[0], 1, shape[1], shape[2]] : shape
}

/** [batch, positions, heads, dim] as [batch, heads, positions, dim], or the other way round. */
function headsFirst<T>(axes: T[], layout: Layout): T[] {
  if (layout === 'bhnd') return axes
  const [batch, positions, heads, dim] = axes
  return [batch, heads, positions, dim]
}

/** [batch, heads, …rest], without the axes that the request leaves out. */
export function inRank(
  g: Pick<Geometry, 'batched' | 'headed' | 'batch' | 'heads'>,
  ...rest: number[]
): number[] {
  return [...(g.batched ? [g.batch] : []), ...(g.headed ? [g.heads] : []), ...rest]
}

export interface MaskLayout {
  /** the mask's extent along [batch, heads, queries, keys], 1 where it is broadcast */
  shape: [number, number, number, number]
  /** elements between neighbours along those axes, 0 where it is broadcast */
  strides: [number, number, number, number]
}

/** A mask broadcasts right-aligned to the shape of the weights in q's rank. */
export function maskLayout(g: Geometry, mask: TensorSource, pointer: string): MaskLayout {
  const full = inRank(g, g.queries, g.keys)
  const missing = full.length - mask.shape.length
  const fits =
    missing >= 0 && mask.shape.every((extent, axis) => extent === 1 || extent === full[missing + axis])
  if (!fits) wrong(pointer, mask, `expected a shape that broadcasts to [${full.join(', ')}]`)
  const padded = [...full.slice(0, missing).map(() => 1), ...mask.shape]
  const rows = padded.slice(-2)
  const shape = [
    g.batched ? padded[0] : 1,
    g.headed ? padded[full.length - 3] : 1,
    ...rows,
  ] as MaskLayout['shape']
  const extents = [g.batch, g.heads, g.queries, g.keys]
  let step = 1
  const strides: MaskLayout['strides'] = [0, 0, 0, 0]
  for (let axis = 3; axis >= 0; axis--) {
    strides[axis] = shape[axis] === 1 && extents[axis] !== 1 ? 0 : step
    step *= shape[axis]
  }
  return { shape, strides }
}

/** Throws the 400 about a tensor's shape: what was expected, and what came. `source`: of the request, or a parameter that is taken. */
export function wrong(
  pointer: string,
  source: TensorSource | { shape: number[]; ref: Ref },
  expected: string,
): never {
  const path = 'ref' in source ? pointer : pointer + shapePointer(source)
  throw fieldProblem('SHAPE_MISMATCH', path, `${expected}, got [${source.shape.join(', ')}]`)
}

/** Throws unless the tensor has just this shape. */
export function expectShape(
  pointer: string,
  source: TensorSource | { shape: number[]; ref: Ref },
  shape: number[],
): void {
  if (source.shape.length === shape.length && shape.every((extent, axis) => extent === source.shape[axis]))
    return
  wrong(pointer, source, `expected [${shape.join(', ')}]`)
}
