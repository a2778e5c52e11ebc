/**
 * `empty_rows`: what a row is that attends to nothing, where it is not zeros: NaN, as a softmax over nothing but −∞ gives it, or the mean
 * of all values, as one over equal stand-ins for −∞ does. Steps behind attention's own; padding rows stay zeros.
 */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import { emptyRowsToKeys, emptyRowsToMask, writeEmptyRows } from '../../../workers/ops/empty-rows/op.ts'
import { bothProblem, fieldsProblem } from '../../problem.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { AttentionGradients, AttentionNeeds, Maps } from './softmax.ts'
import type { AttentionPlan } from './stages/stage.ts'
import type { Attended } from './variants/variant.ts'

export const EMPTY_ROWS = ['zeros', 'nan', 'uniform'] as const
export type EmptyRows = (typeof EMPTY_ROWS)[number]

export const emptyRowsField = z
  .enum(EMPTY_ROWS)
  .optional()
  .meta({ default: 'zeros' })
  .describe(
    'What a row is that may attend to no key. `zeros`: output, weights, entropy and gradients are 0. `nan`: they are NaN, and so are all ' +
      'gradients of the keys and values that the row might have attended to, as in a softmax over −∞ alone. `uniform`: the weights are 1/M ' +
      'each, masked keys included, as where a large finite number stands for −∞: the output is the mean of all values, each value gets its ' +
      'share of the gradient, and nothing else does. `logsumexp` and `max_score` stay −∞. Rows from `q_lengths` on are padding and stay ' +
      'zeros; with `sinks` no row is empty. With attention_kind softmax, local or block.',
  )

/** What may not stand beside it. */
export interface EmptyRowOptions {
  empty_rows?: EmptyRows | undefined
  dropout?: { p: number } | undefined
  relative_bias?: unknown
  cu_seqlens_q?: unknown
  compare_exact?: boolean | undefined
}

/** Kinds whose rows are a softmax over keys of their own. */
const KINDS = ['softmax', 'local', 'block']

/** The field that these rows may not stand beside; undefined where there is none. */
export function refusedBeside(options: EmptyRowOptions, kind: string, packed: boolean): string | undefined {
  const { empty_rows: rows, dropout, relative_bias, compare_exact } = options
  if (rows === undefined || rows === 'zeros') return undefined
  if (!KINDS.includes(kind)) return 'attention_kind'
  if (packed) return 'cu_seqlens_q'
  if (compare_exact) return 'compare_exact'
  if (rows === 'nan') return relative_bias === undefined ? undefined : 'relative_bias'
  return dropout !== undefined && dropout.p > 0 ? 'dropout' : undefined
}

/** As a plan has it: undefined for zeros. Throws the 400 that names what it may not stand beside. */
export function emptyRowsOf(
  options: EmptyRowOptions,
  kind: string,
  packed: boolean,
): 'nan' | 'uniform' | undefined {
  const { empty_rows: rows } = options
  const other = refusedBeside(options, kind, packed)
  if (other === 'attention_kind') {
    const message = `expected one of ${KINDS.join(', ')} beside empty_rows "${rows}", got "${kind}"`
    const paths = ['/empty_rows', '/attention_kind']
    throw fieldsProblem(
      'INVALID_REQUEST',
      paths.map(path => ({ path, message })),
    )
  }
  if (other !== undefined) throw bothProblem('', 'empty_rows', other)
  return rows === 'zeros' ? undefined : rows
}

type By = 'nan' | 'value' | 'mean'

/** What attention gave, with its empty rows written, and their part of the gradients and tangents. */
export function withEmptyRows(p: RequestProgram, plan: AttentionPlan, attended: Attended, v: Ref): Attended {
  const { geometry: g, emptyRows, places, maskLayout } = plan
  const { batch, heads, kvHeads, queries, keys, dimK, dimV } = g
  const nan = emptyRows === 'nan'
  const sizes = { batch, heads, kvHeads, queries, keys }
  const rows = { denominator: attended.denominator, qLengths: places.refs.qLengths }

  /** In place, or in another buffer: the backward pass reads what was there. */
  const written = (x: Ref, dim: number, by: By, value: number, values?: Ref, inPlace = true) => {
    const y = inPlace ? x : p.buffer({ type: p.buffers[x].type, length: p.buffers[x].length })
    p.stage(p.step(writeEmptyRows, { ...rows, x, v: values, y }, { ...sizes, dim, by, value }))
    return y
  }
  const own = (of: Maps): Maps => {
    const maps = { ...of }
    for (const name of ['weights', 'droppedWeights'] as const) {
      const map = maps[name]
      if (map !== undefined) maps[name] = written(map, keys, nan ? 'nan' : 'value', keys === 0 ? 0 : 1 / keys)
    }
    return maps
  }
  const toKeys = (x: Ref | undefined, dim: number, gradOutput?: Ref) => {
    if (x === undefined) return x
    const by = nan ? 'nan' : 'share'
    p.stage(p.step(emptyRowsToKeys, { ...rows, x, gradOutput, y: x }, { ...sizes, dim, by }))
    return x
  }
  const toMask = (x: Ref | undefined) => {
    if (x === undefined || maskLayout === undefined || !nan) return x
    const args = { batch, heads, queries, keys, count: p.buffers[x].length, maskStrides: maskLayout.strides }
    p.stage(p.step(emptyRowsToMask, { ...rows, x, y: x }, args))
    return x
  }
  const backwardOf = (found: AttentionGradients, gradOutput: Ref): AttentionGradients => {
    const q = found.q !== undefined && nan ? written(found.q, dimK, 'nan', 0) : found.q
    const k = nan ? toKeys(found.k, dimK) : found.k
    return {
      ...found,
      q,
      k,
      v: toKeys(found.v, dimV, nan ? undefined : gradOutput),
      mask: toMask(found.mask),
    }
  }

  const { entropy, tangent } = attended
  const ofEntropy = keys === 0 ? 0 : Math.log(keys)
  return {
    ...attended,
    output: written(attended.output, dimV, nan ? 'nan' : 'mean', 0, nan ? undefined : v, false),
    entropy: entropy && written(entropy, 1, nan ? 'nan' : 'value', ofEntropy, undefined, false),
    written: own(attended.written),
    backward: (p, gradOutput, scalars, needs: AttentionNeeds, terms) =>
      backwardOf(attended.backward(p, gradOutput, scalars, needs, terms), gradOutput),
    tangent:
      tangent &&
      ((p, given, wanted) => {
        const found = tangent(p, given, wanted)
        const { output, weights } = found
        if (nan && weights !== undefined) written(weights, keys, 'nan', 0)
        if (output === undefined || !(nan || given.v !== undefined)) return found
        return { ...found, output: written(output, dimV, nan ? 'nan' : 'mean', 0, nan ? undefined : given.v) }
      }),
  }
}
