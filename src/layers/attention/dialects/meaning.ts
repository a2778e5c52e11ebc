/** What a request means, whatever dialect it came in: all that its call in a library's own arguments is made of. */
import type { TensorSource } from '../../../formats/tensor.ts'
import type { Geometry } from '../../geometry.ts'
import { alibiSlopes } from '../biases.ts'
import { isSpan, type Span, type Window } from '../masks/window.ts'
import { attentionKind, type KindField } from '../variants/index.ts'

/** How far along the keys row 0 stands; `lengths`: at m − n of each batch element. */
export type Shift = number | 'lengths'

export interface Meaning {
  g: Geometry
  past: number
  /** of q; 4 for layers, whose projections are meant */
  rank: number
  positionsFirst: boolean
  packed: boolean
  causal: boolean
  prefix: boolean
  /** of causal, alibi and kinds of attention */
  shift: Shift
  window: { left: number | null; right: number | null; shift: Shift } | undefined
  kvLengths: boolean
  qLengths: boolean
  segments: boolean
  mask: { float: boolean; negated: boolean; rank: number } | undefined
  /** slopes of the paper, or the request's own */
  alibi: number[] | 'given' | undefined
  kind: { kind: string } & Record<string, unknown>
  scale: number | undefined
  softcap: number | undefined
  dropout: number | undefined
  sinks: boolean
  relativeBias: boolean
}

/** A body in our own fields, of any endpoint that attends. */
export interface MeantBody {
  q?: TensorSource
  layout?: 'bhnd' | 'bnhd' | undefined
  cu_seqlens_q?: unknown
  cu_seqlens_k?: unknown
  causal?: boolean | 'top_left' | 'bottom_right' | undefined
  aligned?: 'bottom_right' | 'all_keys' | undefined
  window?: Window | Span | undefined
  prefix_lengths?: unknown
  kv_lengths?: unknown
  q_lengths?: unknown
  segments?: unknown
  mask?: TensorSource | undefined
  alibi?: boolean | TensorSource | undefined
  attention_kind?: KindField | undefined
  scale?: number | undefined
  softcap?: number | undefined
  dropout?: { p: number } | undefined
  sinks?: unknown
  relative_bias?: unknown
}

export function meaningOf(body: MeantBody, g: Geometry, past: number): Meaning {
  const { causal, aligned, window, mask, alibi, q, dropout } = body
  const { queries, keys } = g
  const apart = body.kv_lengths !== undefined || body.q_lengths !== undefined
  const packed = body.cu_seqlens_q !== undefined
  // sequences of as many queries as keys have one corner
  const alike = packed && body.cu_seqlens_k === undefined
  const shiftOf = (bottomRight: boolean): Shift => {
    if (packed) return bottomRight || alike ? 'lengths' : 0
    return bottomRight ? (apart ? 'lengths' : keys - queries) : past
  }
  const bottomRight = causal === 'bottom_right' || aligned === 'bottom_right'
  const shift = aligned === 'all_keys' ? keys - queries : shiftOf(bottomRight)
  const positionsFirst = body.layout === 'bnhd'
  return {
    g,
    past,
    rank: q?.shape.length ?? 4,
    positionsFirst,
    packed,
    causal: Boolean(causal),
    prefix: body.prefix_lengths !== undefined,
    shift,
    window: windowOf(isSpan(window) ? undefined : window, shift, shiftOf(true), past),
    kvLengths: body.kv_lengths !== undefined,
    qLengths: body.q_lengths !== undefined,
    segments: body.segments !== undefined,
    mask: mask && { float: mask.dtype !== 'bool', negated: mask.negated === true, rank: mask.shape.length },
    alibi: alibi === true ? alibiSlopes(g.heads) : alibi ? 'given' : undefined,
    kind: attentionKind(body.attention_kind),
    scale: body.scale,
    softcap: body.softcap,
    dropout: dropout?.p,
    sinks: body.sinks !== undefined,
    relativeBias: body.relative_bias !== undefined,
  }
}

function windowOf(
  window: Window | undefined,
  own: Shift,
  bottomRight: Shift,
  past: number,
): Meaning['window'] {
  const { left = null, right = null, align } = window ?? {}
  if (left === null && right === null) return undefined
  return { left, right, shift: align === undefined ? own : align === 'top_left' ? past : bottomRight }
}
