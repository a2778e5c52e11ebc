/** How fast the pairs of a rotation turn with the position: `base`, `frequencies` or `scaling`, and how many pairs there are. */
import type * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import { highestPosition, ropeFrequencies } from '../../../workers/ops/tables/op.ts'
import { decodeBytes, decodeUnits } from '../../../workers/text/decode.ts'
import { roundTo } from '../../../workers/text/float16.ts'
import { elementPointer, type TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import { expectShape, wrong } from '../geometry.ts'
import { FLOAT32_MAX, LEAST_POSITIVE, positive, real } from '../numerics.ts'
import { decodeArgs, type RequestProgram } from '../program-builder.ts'
import { type RopeScaling, ropeType, scalingField, scalingRule } from './rope-scaling.ts'

/** Most elements of a list that the main thread reads: heads of 65536 elements. */
const MOST_FREQUENCIES = 2 ** 15
const DEFAULT_BASE = 10000

/** Fields of everything that rotates. */
export function frequencyFields(tensors: TensorKinds) {
  return {
    base: positive().optional().describe('pair j turns by base^(−2j/dims) a position; default 10000'),
    frequencies: tensors.values
      .optional()
      .describe('[dims/2], instead of `base`: by how much each pair turns a position, in radians'),
    factor: real()
      .optional()
      .describe('cos and sin times it; default 1. Beside `scaling` it multiplies what that gives'),
    scaling: scalingField(tensors).optional(),
  }
}

type FrequencyOptions = { dims?: number | undefined } & {
  [K in keyof ReturnType<typeof frequencyFields>]?: z.output<ReturnType<typeof frequencyFields>[K]>
}

/** Where the rows of a table stand: one after the other from `offset` on, or each at its own of `places`. */
export interface RowPlaces {
  positions: number
  offset: number
  /** [batches, positions] */
  places?: Ref
  batches: number
}

/** What a table of angles is made from. */
export interface Frequencies {
  dims: number
  base: number
  /** cos and sin times it */
  factor: number
  /** [dims/2], where they are no powers of the base */
  ref?: Ref
}

/** `head`: the elements of a head, and what the request calls that number. `rows`: of q and of the new keys. */
export function planFrequencies(
  p: RequestProgram,
  options: FrequencyOptions,
  head: { name: string; dim: number },
  rows: RowPlaces[],
  pointer: string,
): Frequencies {
  const { base, frequencies, scaling, factor = 1 } = options
  refuseTogether(options, pointer)
  const dims = rotatedDims(options, head, pointer)
  const theta = base ?? scaling?.rope_theta ?? DEFAULT_BASE
  if (frequencies !== undefined) {
    const at = `${pointer}/frequencies`
    expectShape(at, frequencies, [dims / 2])
    return { dims, base: theta, factor, ref: listOf(p, frequencies, at, -FLOAT32_MAX) }
  }
  if (scaling === undefined) return { dims, base: theta, factor }
  const { rule, attention } = scalingRule(scaling, theta, dims, `${pointer}/scaling`)
  if (rule.kind === 'default') return { dims, base: theta, factor }
  const by = rule.kind === 'longrope' ? longropeLists(p, scaling, dims, `${pointer}/scaling`) : {}
  const measured = rule.kind === 'longrope' || rule.kind === 'dynamic' ? lengthOf(p, rows) : { least: 0 }
  const ref = p.buffer({ type: 'float64', length: dims / 2 })
  const tensors = { length: measured.ref, ...by, frequencies: ref }
  const step = p.step(ropeFrequencies, tensors, { dims, length: measured.least, rule })
  if (measured.ref === undefined) p.prepare(step)
  else p.stage(step)
  return { dims, base: theta, factor: factor * attention, ref }
}

function refuseTogether({ base, dims, frequencies, scaling }: FrequencyOptions, pointer: string): void {
  if (frequencies !== undefined && base !== undefined) throw bothProblem(pointer, 'frequencies', 'base')
  if (frequencies !== undefined && scaling !== undefined) throw bothProblem(pointer, 'frequencies', 'scaling')
  if (base !== undefined && scaling?.rope_theta !== undefined) {
    throw bothProblem(pointer, 'base', 'scaling/rope_theta')
  }
  if (dims !== undefined && scaling?.partial_rotary_factor !== undefined) {
    throw bothProblem(pointer, 'dims', 'scaling/partial_rotary_factor')
  }
}

/** How many leading elements of a head are rotated. */
function rotatedDims(
  { dims, frequencies, scaling }: FrequencyOptions,
  { name, dim }: { name: string; dim: number },
  pointer: string,
): number {
  const share = scaling && ropeType(scaling) !== 'proportional' ? scaling.partial_rotary_factor : undefined
  if (dims === undefined && frequencies !== undefined) {
    const pairs = frequencies.count
    if (frequencies.shape.length === 1 && pairs > 0 && 2 * pairs <= dim) return 2 * pairs
    wrong(`${pointer}/frequencies`, frequencies, `expected [dims/2] with dims of at most ${name} = ${dim}`)
  }
  const found = dims ?? (share === undefined ? dim : Math.floor(dim * share))
  if (found % 2 === 0 && found > 0 && found <= dim) return found
  const message = `expected an even number of at most ${name} = ${dim}, got ${found}`
  if (dims !== undefined) throw fieldProblem('INVALID_REQUEST', `${pointer}/dims`, message)
  if (share === undefined)
    throw fieldProblem('INVALID_REQUEST', `${pointer}/dims`, `${message} (the default)`)
  const place = `${pointer}/scaling/partial_rotary_factor`
  const expected = `expected a share of ${name} = ${dim} that is a positive even number of elements`
  throw fieldProblem('INVALID_REQUEST', place, `${expected}, got ${share}, which is ${found}`)
}

/** The highest position + 1: known now where rows stand one after the other, and measured where they say their places. */
function lengthOf(p: RequestProgram, rows: RowPlaces[]): { least: number; ref?: Ref } {
  const ordered = rows.filter(({ places, positions }) => places === undefined && positions > 0)
  const least = Math.max(0, ...ordered.map(({ offset, positions }) => offset + positions))
  const placed = rows.filter(({ places }) => places !== undefined)
  if (placed.length === 0) return { least }
  const ref = p.buffer({ type: 'float64', length: 1 })
  const [q, k] = placed
  const positions = placed.reduce((sum, { batches, positions }) => sum + batches * positions, 0)
  p.stage(p.step(highestPosition, { q: q.places, k: k?.places, length: ref }, { positions, least }))
  return { least, ref }
}

function longropeLists(p: RequestProgram, scaling: RopeScaling, dims: number, pointer: string) {
  const list = (name: 'short_factor' | 'long_factor') => {
    const source = scaling[name] as TensorSource
    expectShape(`${pointer}/${name}`, source, [dims / 2])
    return listOf(p, source, `${pointer}/${name}`, LEAST_POSITIVE)
  }
  return { short: list('short_factor'), long: list('long_factor') }
}

/** A short list as a float64 buffer; it is read here, so that its elements' range can be held: angles are then finite. */
function listOf(p: RequestProgram, source: TensorSource, pointer: string, least: number): Ref {
  const { count: length } = source
  if (length > MOST_FREQUENCIES) wrong(pointer, source, `expected at most ${MOST_FREQUENCIES} elements`)
  if (source.form === 'shape') return p.buffer({ type: 'float64', length, preloaded: true })
  const data = new Float64Array(length)
  const fault =
    source.form === 'nested' || source.form === 'flat' ? parseList(source, data) : decodeList(source, data)
  const bad = fault?.index ?? data.findIndex(value => !(value >= least && value <= FLOAT32_MAX))
  if (fault === undefined && bad < 0) return p.buffer({ type: 'float64', length, data })
  const below = bad < 0 ? '' : elementPointer(source, bad)
  const place = below === '' && bad >= 0 ? ` at index ${bad}` : ''
  const found = fault?.found ?? String(data[bad])
  throw fieldProblem(
    'INVALID_TENSOR',
    pointer + below,
    `expected a number from ${least} to ${FLOAT32_MAX}, got ${found}${place}`,
  )
}

interface Wrong {
  index: number
  found: string
}

/** From JSON text that the scan has found to be an array of numbers, or of words for non-finite ones. */
function parseList({ bytes, start, end, dtype }: TensorSource, data: Float64Array): Wrong | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
  const values: unknown[] = JSON.parse(text)
  for (const [index, value] of values.entries()) {
    if (typeof value !== 'number') return { index, found: JSON.stringify(value) }
    data[index] = roundTo(dtype, value)
  }
  return undefined
}

function decodeList(source: TensorSource, data: Float64Array): Wrong | undefined {
  const args = decodeArgs(source, { rejectNonFinite: true, allowNegativeInfinity: false })
  return decodeBytes({ body: source.bytes, into: data }, args, 0, decodeUnits(args))
}
