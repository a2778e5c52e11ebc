/** What of a request forbids pairs, rule by rule, as steps: how many pairs each rule forbids, and which rules forbid a pair. */
import type { Ref, Step } from '../../../workers/contract.ts'
import { intervals as intervalsOp, type RowMask } from '../../../workers/ops/intervals/op.ts'
import { COUNTED_ROWS, countPairs, ruleBits } from '../../../workers/ops/mask-rules/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { fieldProblem } from '../../problem.ts'
import { type Geometry, inRank, maskLayout } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import { type Places, placesOf } from './intervals.ts'
import { inputMask } from './mask-input.ts'
import { MASKS } from './masks/index.ts'
import { type Packed, readPacked } from './packed.ts'
import type { AttentionOptions } from './plan.ts'
import { inputSegments, type SegmentRefs } from './segments.ts'
import { attentionKind, causalOf, VARIANTS } from './variants/index.ts'
import type { Variant } from './variants/variant.ts'

/** A request's options with the fields of packed sequences. */
export interface RuleOptions extends AttentionOptions {
  cu_seqlens_q?: TensorSource | undefined
  cu_seqlens_k?: TensorSource | undefined
}

export interface Rules {
  /** in the order of their bits */
  names: string[]
  geometry: Geometry
  /** for how many pairs, and rows, each one that is counted stands */
  times: { batch: number; heads: number }
  /** float64 [units, 1 + 2·names] and [rows], see the op */
  counts: Ref
  attended: Ref
  /** uint8 [batch, heads, queries, keys] */
  map?: Ref | undefined
  /** float64 [keys] */
  row?: Ref | undefined
}

/** Names of tensors that say what is attended and are only shapes here: nothing is known of what they forbid. */
const READ = ['q_lengths', 'kv_lengths', 'prefix_lengths', 'mask', 'segments'] as const

/** The options without those tensors, and their names. */
export function knownOptions<O extends RuleOptions>(options: O): { known: O; unknown: string[] } {
  const isShape = (source: TensorSource | undefined) => source?.form === 'shape' && source.count > 0
  for (const name of ['cu_seqlens_q', 'cu_seqlens_k'] as const) {
    if (!isShape(options[name])) continue
    throw fieldProblem('INVALID_TENSOR', `/${name}`, 'expected where sequences begin, got only a shape')
  }
  const { segments } = options
  const unknown = READ.filter(name =>
    name === 'segments' ? isShape(segments?.q) || isShape(segments?.kv) : isShape(options[name]),
  )
  const known = { ...options }
  for (const name of unknown) delete known[name]
  return { known, unknown: [...unknown] }
}

/** `g.keys` counts the keys of the past too. `row`: of [batch, heads, queries], one whose bits are wanted. */
export function rulesOf(
  p: RequestProgram,
  options: RuleOptions,
  g: Geometry,
  past: { given: boolean; length: number },
  { map, row }: { map: boolean; row: number | undefined },
): Rules {
  const { batch, heads, queries, keys } = g
  const packed = options.cu_seqlens_q && readPacked(p, options, g)
  const places: Places = packed
    ? { geometry: g, shift: 0, refs: {}, packed }
    : placesOf(p, options, g, past.length)
  const byPosition = positionRules(options, past.length)
  const segments = options.segments && inputSegments(p, options.segments, g, past.given)
  const layout = options.mask && maskLayout(g, options.mask, '/mask')
  const mask = options.mask && inputMask(p, options.mask)
  const ofBatch = Object.values(places.refs).some(ref => ref !== undefined)
  const intervalBatch = ofBatch ? batch : 1
  const tensors = {
    intervals: ruleIntervals(p, places, byPosition, intervalBatch),
    mask,
    ...ofSegments(segments?.refs),
    cuQ: packed?.refs.cuQ,
    cuK: packed?.refs.cuK,
  }
  const apart = intervalBatch > 1 || segments !== undefined || (layout?.shape[0] ?? 1) > 1
  const counted = {
    batch: apart ? batch : Math.min(1, batch),
    heads: (layout?.shape[1] ?? 1) > 1 ? heads : 1,
  }
  const maskStrides = layout?.strides ?? [0, 0, 0, 0]
  const args = { intervalBatch, queries, keys, rules: byPosition.length, maskStrides }
  const names = byPosition.map(({ name }) => name)
  if (mask !== undefined) names.push('mask')
  if (segments !== undefined) names.push('segments')
  if (packed !== undefined) names.push('cu_seqlens')
  const rows = counted.batch * counted.heads * queries
  const length = Math.ceil(rows / COUNTED_ROWS) * (1 + 2 * names.length)
  const counts = p.buffer({ type: 'float64', length })
  const attended = p.buffer({ type: 'float64', length: rows })
  const steps: Step[] = [p.step(countPairs, { ...tensors, counts, attended }, { ...args, ...counted })]
  const bitsOf = (type: 'uint8' | 'float64', length: number, of: number) => {
    const bits = p.buffer({ type, length })
    steps.push(p.step(ruleBits, { ...tensors, bits }, { ...args, batch, heads, row: of }))
    return bits
  }
  const found: Rules = {
    names,
    geometry: g,
    times: { batch: batch / Math.max(1, counted.batch), heads: heads / counted.heads },
    counts,
    attended,
    map: map ? bitsOf('uint8', batch * heads * queries * keys, -1) : undefined,
    row: row === undefined ? undefined : bitsOf('float64', keys, row),
  }
  p.stage(...steps)
  for (const buffer of [counts, attended, found.row]) if (buffer !== undefined) p.keep(buffer)
  if (found.map !== undefined) p.output('map', found.map, inRank(g, queries, keys), undefined, 'uint8')
  return found
}

function ofSegments(refs: SegmentRefs | undefined) {
  return { qSegments: refs?.qSegments, kvSegments: refs?.kvSegments }
}

interface PositionRule {
  name: string
  mask: RowMask
}

/** Masks by position that a request sets; lengths are two rules. */
function positionRules(options: RuleOptions, past: number): PositionRule[] {
  const kind = attentionKind(options.attention_kind)
  if (kind.kind === 'lsh' || kind.kind === 'strided') {
    const message = `expected an attention_kind whose pairs are intervals (softmax, local, block), got "${kind.kind}"`
    throw fieldProblem('INVALID_REQUEST', '/attention_kind', message)
  }
  const all = { ...options, causal: causalOf(kind, options.causal) }
  const value = (name: string) => (all as Record<string, unknown>)[name]
  const found = MASKS.flatMap(({ mask, names }): PositionRule[] => {
    const set = names.filter(name => value(name) !== undefined && value(name) !== false)
    const rows = set.length > 0 ? mask.rows(all, past) : undefined
    if (rows === undefined) return []
    const { live, ...interval } = rows
    if (live === undefined) return [{ name: set[0], mask: interval }]
    const parts = { q_lengths: { live }, kv_lengths: interval }
    return Object.entries(parts).flatMap(([name, mask]) => (set.includes(name) ? { name, mask } : []))
  })
  const own = (VARIANTS[kind.kind] as Variant).masks?.(kind) ?? []
  return [...found, ...own.map(mask => ({ name: 'attention_kind', mask }))]
}

/** [rules, batch, queries, 2], or of packed sequences [rules, all queries, 2]. */
function ruleIntervals(
  p: RequestProgram,
  places: Places,
  rules: PositionRule[],
  batch: number,
): Ref | undefined {
  const { geometry, packed, refs } = places
  const { queries, keys } = geometry
  const length = 2 * batch * queries
  if (rules.length === 0) return undefined
  const all = p.buffer({ type: 'int32', length: rules.length * length })
  if (length === 0) return all
  const ofPacked = packed && packedPlaces(packed, queries)
  const { shifts, qLengths, kvLengths, prefixLengths } = refs
  const tensors = ofPacked?.tensors ?? { shifts, qLengths, kvLengths, prefixLengths }
  const args = ofPacked?.args ?? { batch, queries, keys, shift: places.shift }
  for (const [rule, { mask }] of rules.entries()) {
    const intervals = p.part(all, rule * length, length)
    p.prepare(p.step(intervalsOp, { ...tensors, intervals }, { ...args, masks: [mask] }))
  }
  return all
}

function packedPlaces({ sequences, longest, refs }: Packed, rows: number) {
  const { shifts, cuQ, cuK } = refs
  const queries = Math.ceil(rows / Math.max(1, sequences))
  return {
    tensors: { shifts, cuQ, cuK },
    args: { batch: sequences, queries, keys: longest.keys, shift: 0 },
  }
}
