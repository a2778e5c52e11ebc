/**
 * The options of scaled dot-product attention, compiled once for a request: every layer that attends in the same way
 * shares the masks, tables and lengths made here.
 */
import type { QkNormArgs } from '../../../workers/ops/qk-norm/op.ts'
import type { AttentionArgs, Ref } from '../../../workers/task.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape, type Geometry, type MaskLayout, maskLayout } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { alibiSlopes } from './alibi-slopes.ts'
import { attendedArea } from './attended-area.ts'
import type { AttentionRequest } from './fields.ts'
import { readLengths } from './lengths.ts'
import { type RopeTable, ropeTables } from './positions.ts'
import { attentionKind } from './variants/fields.ts'
import { type KindOptions, localWindow, refuseOptions, type SharedKind, shareKind } from './variants/index.ts'

/** The fields of a request that say what attention computes. */
export type AttentionOptions = Pick<
  AttentionRequest,
  | 'scale'
  | 'softcap'
  | 'mask'
  | 'causal'
  | 'q_lengths'
  | 'kv_lengths'
  | 'window'
  | 'alibi'
  | 'qk_norm'
  | 'rope'
  | 'dropout'
> &
  KindOptions

export interface AttentionSetup {
  geometry: Geometry
  /** keys of `geometry` that come from the past; they were normalised and rotated when they were new */
  past: number
  args: AttentionArgs
  /** the arguments and the area of exact attention, for the comparison; undefined where none is asked for */
  exact?: { args: AttentionArgs; area: number }
  kind: SharedKind
  /** seed of the dropout in `args`, to which a layer adds its own number */
  seed: number
  norm?: Pick<QkNormArgs, 'kind' | 'eps'>
  rope?: { q: RopeTable; k: RopeTable }
  mask?: Ref
  maskLayout?: MaskLayout
  slopes?: Ref
  qLengths?: Ref
  kvLengths?: Ref
  /** pairs that are attended, over the whole batch, for one head */
  area: number
  /** query rows of the whole batch that are no padding */
  liveRows: number
}

/** `g.keys` counts the keys of the past too. */
export function attentionSetup(
  p: RequestProgram,
  options: AttentionOptions,
  g: Geometry,
  past: number,
  pointers?: Record<string, string>,
): AttentionSetup {
  const kind = attentionKind(options.attention_kind)
  refuseOptions(kind, options, pointers)
  const qLengths = readLengths(options.q_lengths, '/q_lengths', g.batch, g.queries)
  const kvLengths = readLengths(options.kv_lengths, '/kv_lengths', g.batch, g.keys)
  const exactArgs = attentionArgs(options, g, past)
  const args = localWindow(exactArgs, kind)
  const lengths = {
    qLengths: qLengths && p.buffer({ type: 'int32', length: g.batch, data: qLengths }),
    kvLengths: kvLengths && p.buffer({ type: 'int32', length: g.batch, data: kvLengths }),
  }
  const setup: AttentionSetup = {
    geometry: g,
    past,
    args,
    seed: options.dropout?.seed ?? 0,
    norm: options.qk_norm === 'l2' ? { kind: 'l2', eps: 1e-12 } : options.qk_norm,
    rope: rope(p, options, g, past, pointers?.rope ?? '/rope'),
    area: attendedArea(args, qLengths, kvLengths),
    liveRows: qLengths?.reduce((sum, length) => sum + length, 0) ?? g.batch * g.queries,
    ...lengths,
    kind: shareKind(p, kind, args, lengths),
    slopes: alibi(p, options, g),
  }
  if (options.mask !== undefined) {
    setup.maskLayout = maskLayout(g, options.mask, '/mask')
    setup.mask = p.inputMask('/mask', options.mask)
    args.maskKind = options.mask.dtype === 'bool' ? 'bool' : 'float'
    args.maskStrides = setup.maskLayout.strides
  }
  if (kind.kind !== 'softmax') p.facts.approximation = kind.kind
  if (options.compare_exact) {
    const { maskKind, maskStrides } = args
    const area = attendedArea(exactArgs, qLengths, kvLengths)
    setup.exact = { args: { ...exactArgs, maskKind, maskStrides }, area }
  }
  return setup
}

/** The arguments with the dropout seed of a layer: seed + offset. */
export function argsForLayer({ args, seed }: AttentionSetup, offset: number): AttentionArgs {
  return offset === 0 ? args : { ...args, ...seedWords(seed, offset) }
}

/** The low and high 32 bits of seed + offset, exact also where the sum is beyond 2⁵³. */
export function seedWords(seed: number, offset = 0): Pick<AttentionArgs, 'seedLow' | 'seedHigh'> {
  const low = (seed % 2 ** 32) + offset
  return { seedLow: low % 2 ** 32, seedHigh: Math.floor(seed / 2 ** 32) + Math.floor(low / 2 ** 32) }
}

function attentionArgs(options: AttentionOptions, g: Geometry, past: number): AttentionArgs {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = g
  return {
    ...{ batch, heads, kvHeads, queries, keys, dimK, dimV },
    scale: options.scale ?? 1 / Math.sqrt(dimK),
    softcap: options.softcap ?? 0,
    alignment: options.causal === 'bottom_right' ? 'bottom_right' : 'top_left',
    pastKeys: past,
    causal: options.causal !== false,
    windowLeft: options.window?.left ?? -1,
    windowRight: options.window?.right ?? -1,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    dropoutP: options.dropout?.p ?? 0,
    ...seedWords(options.dropout?.seed ?? 0),
    careful: false,
  }
}

function alibi(p: RequestProgram, { alibi }: AttentionOptions, g: Geometry): Ref | undefined {
  if (alibi === undefined || alibi === false) return undefined
  if (alibi === true) return p.reals(g.heads, alibiSlopes(g.heads))
  expectShape('/alibi', alibi, [g.heads])
  return p.input('/alibi', alibi)
}

/** New queries and keys stand behind the past, unless the request says otherwise. */
function rope(p: RequestProgram, { rope }: AttentionOptions, g: Geometry, past: number, pointer: string) {
  if (rope === undefined) return undefined
  const { base, interleaved, dims = g.dimK, q_offset = past, k_offset = past } = rope
  if (dims % 2 !== 0 || dims > g.dimK) {
    const message = `expected an even number of at most d_k = ${g.dimK}, got ${dims}`
    throw fieldProblem('INVALID_REQUEST', `${pointer}/dims`, rope.dims ? message : `${message} (the default)`)
  }
  const table = { base, interleaved, dims }
  return ropeTables(
    p,
    { ...table, offset: q_offset, positions: g.queries },
    { ...table, offset: k_offset, positions: g.keys - past },
  )
}
