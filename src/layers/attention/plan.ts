/**
 * The options of scaled dot-product attention, compiled once for a request: every layer that attends in the same way
 * shares the masks, tables and lengths made here.
 */
import type * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import type { AttentionArgs } from '../../../workers/ops/attention/op.ts'
import { expectShape, type Geometry, maskLayout } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { alibiSlopes } from './biases.ts'
import { emptyRowsOf } from './empty-rows.ts'
import type { AttentionOptionFields } from './fields.ts'
import type { HeadsFirst } from './heads-first.ts'
import { type Intervals, intervalsOf, liveRows, type Places, placesOf, rowMasks } from './intervals.ts'
import { inputMask } from './mask-input.ts'
import type { Packed } from './packed.ts'
import { planRelativeBias, type RelativeBiasOptions } from './relative-bias.ts'
import { inputSegments, withSegments } from './segments.ts'
import type { Past } from './stages/past.ts'
import { planRope } from './stages/rope.ts'
import type { AttentionPlan } from './stages/stage.ts'
import { attentionKind, causalOf, refuseOptions, VARIANTS, type VariantOptions } from './variants/index.ts'
import type { Variant } from './variants/variant.ts'

/** The fields of a request that say what attention computes. */
export type AttentionOptions = Partial<Omit<z.output<z.ZodObject<AttentionOptionFields>>, 'relative_bias'>> &
  VariantOptions & {
    relative_bias?: RelativeBiasOptions | undefined
    /** what a dialect says beside `causal`, see PlaceOptions */
    aligned?: 'bottom_right' | 'all_keys' | undefined
  }

/** What is the same for layers that attend to the same sequences; `rope`: also its tables, if those are theirs. */
type Shared = Pick<
  AttentionPlan,
  'places' | 'slopes' | 'relativeBias' | 'mask' | 'maskLayout' | 'rope' | 'gates'
>

/**
 * `g.keys` counts the keys of the past too. `pointers`: where options stand, if elsewhere. `like`: the plan of another layer
 * with the same lengths, mask and slopes. `packed`: the sequences, where several stand in one. `headsFirst`: where positions come
 * before heads.
 */
export function planAttention(
  p: RequestProgram,
  given: AttentionOptions,
  g: Geometry,
  { given: pastGiven, length: past }: Pick<Past, 'given' | 'length'>,
  pointers?: Record<string, string>,
  {
    like,
    packed,
    headsFirst,
  }: { like?: Shared | undefined; packed?: Packed | undefined; headsFirst?: HeadsFirst | undefined } = {},
): AttentionPlan {
  const kind = attentionKind(given.attention_kind)
  refuseOptions(kind, given, pointers)
  const implied = causalOf(kind, given.causal, pointers?.causal)
  const options = implied === given.causal ? given : { ...given, causal: implied }
  const variant = VARIANTS[kind.kind] as Variant
  const packedPlaces = packed && { geometry: g, shift: 0, refs: {}, packed }
  const places = like?.places ?? packedPlaces ?? placesOf(p, options, g, past, pointers)
  const rope =
    options.rope && (like?.rope ?? planRope(p, options.rope, g, past, pointers?.rope ?? '/rope', packed))
  const masks = rowMasks(options, past)
  const own = variant.masks?.(kind) ?? []
  const segments = options.segments && inputSegments(p, options.segments, g, pastGiven)
  const masked = intervalsOf(p, places, [...masks, ...own])
  const within = segments && withSegments(p, masked, segments, places, [...masks, ...own])
  const intervals = within?.intervals ?? masked
  const args = attentionArgs(options, g, places, intervals)
  if (headsFirst?.inPlace) args.positionsFirst = true
  const causal = Boolean(options.causal)
  const at = { queries: pointers?.queries ?? '/q', keys: pointers?.keys ?? '/k' }
  const gates = like?.gates ?? variant.gatesOf?.(p, kind, g, at)
  const context = { args, places, masks: [...masks, ...own], intervals, causal, gates }
  const plan: AttentionPlan = {
    geometry: g,
    past,
    pastGiven,
    args,
    kind,
    variant: variant.plan(p, context, kind),
    gates,
    seed: options.dropout?.seed ?? 0,
    norm: options.qk_norm === 'l2' ? { kind: 'l2', eps: 1e-12 } : options.qk_norm,
    rope,
    places,
    intervals,
    segments: segments && { ...segments.refs, mixedSegments: within?.mixed },
    liveRows: liveRows(places),
    slopes: like === undefined ? alibi(p, options, g) : like.slopes,
    sinks: sinks(p, options, g),
    packed,
    headsFirst,
  }
  if (options.empty_rows !== undefined) {
    plan.emptyRows = emptyRowsOf(options, kind.kind, packed !== undefined)
  }
  if (options.relative_bias !== undefined) {
    plan.relativeBias = like?.relativeBias ?? planRelativeBias(p, options.relative_bias, g, places, pointers)
    const { distances, firstDistance } = plan.relativeBias.args
    Object.assign(args, { distances, firstDistance })
  }
  if (options.mask !== undefined) {
    plan.maskLayout = like?.maskLayout ?? maskLayout(g, options.mask, '/mask')
    plan.mask = like?.mask ?? inputMask(p, options.mask)
    args.maskKind = options.mask.dtype === 'bool' ? 'bool' : 'float'
    args.maskStrides = plan.maskLayout.strides
  }
  if (kind.kind !== 'softmax') p.facts.approximation = kind.kind
  if (options.compare_exact) {
    const exact = own.length === 0 ? masked : intervalsOf(p, places, masks)
    plan.exact = segments ? withSegments(p, exact, segments, places, masks).intervals : exact
  }
  return plan
}

/** The arguments with the dropout seed of a layer: seed + offset. */
export function argsForLayer({ args, seed }: AttentionPlan, offset: number): AttentionArgs {
  return offset === 0 ? args : { ...args, ...seedWords(seed, offset) }
}

/** The low and high 32 bits of seed + offset, exact also where the sum is beyond 2⁵³. */
export function seedWords(seed: number, offset = 0): Pick<AttentionArgs, 'seedLow' | 'seedHigh'> {
  const low = (seed % 2 ** 32) + offset
  return { seedLow: low % 2 ** 32, seedHigh: Math.floor(seed / 2 ** 32) + Math.floor(low / 2 ** 32) }
}

function attentionArgs(
  options: AttentionOptions,
  g: Geometry,
  places: Places,
  { strides }: Intervals,
): AttentionArgs {
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = g
  return {
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    dimK,
    dimV,
    scale: options.scale ?? 1 / Math.sqrt(dimK),
    softcap: options.softcap ?? 0,
    intervalStrides: strides,
    shift: places.shift,
    distances: 0,
    firstDistance: 0,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    earlier: 0,
    dropoutP: options.dropout?.p ?? 0,
    ...seedWords(options.dropout?.seed ?? 0),
  }
}

function sinks(p: RequestProgram, { sinks }: AttentionOptions, g: Geometry): Ref | undefined {
  if (sinks === undefined) return undefined
  expectShape('/sinks', sinks, [g.heads])
  return p.input('/sinks', sinks)
}

function alibi(p: RequestProgram, { alibi }: AttentionOptions, g: Geometry): Ref | undefined {
  if (alibi === undefined || alibi === false) return undefined
  if (alibi === true) return p.reals(g.heads, alibiSlopes(g.heads))
  expectShape('/alibi', alibi, [g.heads])
  return p.input('/alibi', alibi)
}
