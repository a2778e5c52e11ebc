/** A request in a library's dialect → the same request in ours, and what was read. Nothing behind this knows of dialects. */
import type { TensorSource } from '../../../formats/tensor.ts'
import { fieldsProblem } from '../../../problem.ts'
import { type EmptyRows, refusedBeside } from '../empty-rows.ts'
import { isSpan, type Span, type Window } from '../masks/window.ts'
import { attentionKind } from '../variants/index.ts'
import type { Axes, Corner, Dialect } from './dialect.ts'
import { DIALECTS, type DialectName } from './list.ts'
import type { Causal, Spoken, WindowField, Windows } from './spoken.ts'
import { isWithoutBatch, withBatch } from './without-batch.ts'

/** What a dialect says of alignment that no field of ours does: where rows stand without `causal`, or with padding not counted. */
export type Aligned = 'bottom_right' | 'all_keys' | undefined

export interface Conventions {
  [field: string]: unknown
}

export interface Read<R> {
  request: R
  dialect: Dialect
  conventions: Conventions
}

export function readDialect<R extends Spoken>(given: R): Read<R> {
  const request = isWithoutBatch(given) ? withBatch(given) : given
  const name = request.dialect as DialectName
  const dialect = DIALECTS[name]
  const { stack, mask } = request
  refuseGradWeights(name, request)
  const place = readPlace(name, stack ?? request, request)
  const ours: Spoken & { aligned?: Aligned } = { ...request, dialect: undefined, aligned: place.aligned }
  if (stack === undefined) Object.assign(ours, { causal: place.causal, window: place.window })
  else {
    ours.stack = { ...stack, causal: place.causal }
    if (stack.window !== undefined) ours.stack.window = place.window
    if (request.window !== undefined) {
      const beside = { causal: stack.causal, window: request.window }
      ours.window = readPlace(name, beside, request).window as WindowField
      place.window ??= ours.window
    }
  }
  const { encoder } = request
  if (encoder !== undefined) {
    const read = readPlace(name, encoder.stack, { stack: encoder.stack }, '/encoder')
    const { causal, window } = read
    ours.encoder = { ...encoder, stack: { ...encoder.stack, causal, window } }
  }
  const layout = layoutOf(name, request)
  if (layout !== undefined) ours.layout = layout
  if (mask !== undefined) ours.mask = readMask(dialect, mask, axesOf(request, stack))
  ours.empty_rows = emptyRowsIn(dialect, request)
  return { request: ours as R, dialect, conventions: conventionsOf(name, ours, place) }
}

function refuseGradWeights(name: DialectName, { backward, heads, q }: Spoken): void {
  const headed = heads !== undefined || (q !== undefined && q.shape.length > 3)
  if (DIALECTS[name].weights === 'per head' || !headed) return
  if ((backward as { grad_weights?: unknown } | undefined)?.grad_weights === undefined) return
  const message = `expected no backward.grad_weights beside "dialect":"${name}", whose weights are a mean over heads, got one`
  const paths = ['/dialect', '/backward/grad_weights']
  throw fieldsProblem(
    'INVALID_REQUEST',
    paths.map(path => ({ path, message })),
  )
}

interface Place {
  causal: Causal
  window: Windows
  aligned: Aligned
  corner: Corner
}

/** `at`: what holds causal and window, the request itself or its stack. */
function readPlace(
  name: DialectName,
  at: { causal?: Causal; window?: Windows },
  { q_lengths, kv_lengths, past_k, past, stack }: Spoken,
  below = '',
): Place {
  const dialect = DIALECTS[name]
  const pointer =
    stack?.window !== undefined && at.window === stack.window ? `${below}/stack/window` : '/window'
  const causal = Boolean(at.causal)
  const around = {
    causal,
    kvLengths: kv_lengths !== undefined,
    qLengths: q_lengths !== undefined,
    past: past_k !== undefined || past !== undefined,
  }
  const said = at.causal === 'top_left' || at.causal === 'bottom_right' ? at.causal : undefined
  const corner = said ?? dialect.corner(around)
  const padded = around.kvLengths || around.qLengths
  const ofAll = corner === 'bottom_right_of_all' && padded
  const one = (window: WindowField | null) => (window ? readWindow(name, window, causal, pointer) : window)
  const window = isList(at.window) ? at.window.map(one) : (one(at.window) ?? undefined)
  const place = { window, corner }
  if (said !== undefined) return { ...place, causal: said, aligned: undefined }
  if (corner === 'top_left') return { ...place, causal: at.causal, aligned: undefined }
  if (ofAll) return { ...place, causal: at.causal, aligned: 'all_keys' }
  return {
    ...place,
    causal: causal ? 'bottom_right' : at.causal,
    aligned: causal ? undefined : 'bottom_right',
  }
}

/** A list with a window for each layer; a pair of numbers is one window. */
function isList(windows: Windows): windows is (WindowField | null)[] {
  return Array.isArray(windows) && !isSpan(windows)
}

function readWindow(name: DialectName, window: Window | Span, causal: boolean, pointer: string): Window {
  if (!isSpan(window)) return window
  const dialect = DIALECTS[name]
  const found = dialect.window?.(window, causal)
  if (found !== undefined) return found
  const form = dialect.windowForm ?? 'an object {left, right}'
  const message = `expected ${form}, or {left, right}, in the dialect ${name}, got ${JSON.stringify(window)}`
  const paths = [pointer, '/dialect']
  throw fieldsProblem(
    'INVALID_REQUEST',
    paths.map(path => ({ path, message })),
  )
}

/** What says in which order tensors have their axes: the request, or its dialect. */
export function orderOf<R extends Spoken>(request: R): R {
  const { dialect } = request
  return dialect === undefined
    ? request
    : { ...request, layout: layoutOf(dialect, request) ?? request.layout }
}

/** Of tensors of rank 4, where the request says none. */
function layoutOf(name: DialectName, { layout, q, cu_seqlens_q }: Spoken): 'bnhd' | undefined {
  if (DIALECTS[name].layout === 'bhnd' || layout !== undefined || cu_seqlens_q !== undefined) return undefined
  return q?.shape.length === 4 ? 'bnhd' : undefined
}

function axesOf({ q, x, heads, layout, dialect }: Spoken, stack: Spoken['stack']): Axes {
  if (q !== undefined) {
    const rank = q.shape.length
    const positionsFirst = (layout ?? DIALECTS[dialect as DialectName].layout) === 'bnhd'
    return { rank, batch: rank > 2 ? q.shape[0] : 1, heads: rank > 3 ? q.shape[positionsFirst ? 2 : 1] : 1 }
  }
  const batched = x?.shape.length === 3
  const count = stack?.heads ?? (typeof heads === 'number' ? heads : undefined)
  const rank = (batched ? 3 : 2) + Number(count !== undefined)
  return { rank, batch: batched ? x.shape[0] : 1, heads: count ?? 1 }
}

function readMask(dialect: Dialect, mask: TensorSource, axes: Axes): TensorSource {
  const shaped = dialect.mask?.(mask, axes) ?? mask
  if (dialect.maskTrue === 'may attend' || shaped.dtype !== 'bool') return shaped
  return { ...shaped, negated: true }
}

/** The library's, unless the request says its own, or has what they do not stand beside. */
function emptyRowsIn({ emptyRows }: Dialect, request: Spoken): EmptyRows {
  if (request.empty_rows !== undefined) return request.empty_rows
  const { kind } = attentionKind(request.attention_kind)
  const options = { ...request, empty_rows: emptyRows }
  const other = refusedBeside(options, kind, request.cu_seqlens_q !== undefined)
  return other === undefined ? emptyRows : 'zeros'
}

function conventionsOf(name: DialectName, ours: Spoken, { causal, window, corner }: Place): Conventions {
  const dialect = DIALECTS[name]
  const { q, layout = 'bhnd', scale, cu_seqlens_q } = ours
  const aligned = corner === 'top_left' ? corner : 'bottom_right'
  const withCorner = (one: WindowField | null) => {
    if (!one || isSpan(one)) return null
    return { left: one.left ?? null, right: one.right ?? null, align: one.align ?? aligned }
  }
  return {
    dialect: name,
    library: dialect.library,
    ...(q !== undefined && cu_seqlens_q === undefined && q.shape.length === 4 && { layout }),
    scale: scale ?? '1/sqrt(d_k)',
    causal: causal ? aligned : false,
    ...(corner === 'bottom_right_of_all' && { aligned_to: 'all M keys, padding counted' }),
    mask: `bool: true = ${dialect.maskTrue}; float: added to the scores`,
    window: isList(window) ? window.map(withCorner) : withCorner(window),
    softcap: 'after scale, before biases and masks',
    empty_rows: ours.empty_rows,
    weights: dialect.weights,
    kv_heads: 'query head h reads kv head floor(h * H_kv / H)',
  }
}
