/** Of a body of any endpoint that attends: which rows and keys there are, and what stands before them. */
import type { TensorSource } from '../../formats/tensor.ts'
import type { RuleOptions } from '../../layers/attention/mask-rules.ts'
import { attentionGeometry, type Geometry } from '../../layers/geometry.ts'
import { contextOf, sequenceOf } from '../../layers/sequence.ts'
import { refuseLayout } from '../attention.ts'

/** What bodies of attention and of layers have, of what says who attends to whom. */
export interface AttendingBody extends RuleOptions {
  q?: TensorSource
  k?: TensorSource
  v?: TensorSource
  layout?: 'bhnd' | 'bnhd' | undefined
  x?: TensorSource
  context?: TensorSource | undefined
  heads?: number
  kv_heads?: number | undefined
  past_k?: TensorSource | undefined
  past_v?: TensorSource | undefined
}

export interface Subject {
  /** `keys` counts those of the past */
  geometry: Geometry
  past: { given: boolean; length: number }
}

export function subjectOf(body: AttendingBody): Subject {
  const { q, k, v, past_k: past } = body
  if (q !== undefined && k !== undefined && v !== undefined) {
    refuseLayout({ ...body, q })
    const packed = body.cu_seqlens_q !== undefined
    return withPast(attentionGeometry(q, k, v, packed ? 'packed' : body.layout), past, body.layout === 'bnhd')
  }
  const x = sequenceOf('/x', body.x as TensorSource)
  const source = body.context === undefined ? x : contextOf(body.context, x)
  const { heads = 1, kv_heads: kvHeads = heads } = body
  const { batched, batch, positions: queries } = x
  const headed = body.heads !== undefined
  const g = { batched, headed, batch, heads, kvHeads, queries, keys: source.positions, dimK: 1, dimV: 1 }
  return withPast(g, past, false)
}

function withPast(g: Geometry, past: TensorSource | undefined, positionsFirst: boolean): Subject {
  const length = past?.shape.at(positionsFirst ? 1 : -2) ?? 0
  return { geometry: { ...g, keys: g.keys + length }, past: { given: past !== undefined, length } }
}
