/** `scaling` of `rope`: Hugging Face's `rope_scaling` or `rope_parameters`, by its own field names. */
import * as z from 'zod'
import type { FrequencyRule } from '../../../workers/ops/tables/op.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import { FLOAT32_MAX, positive } from '../numerics.ts'

const TYPES = ['default', 'linear', 'dynamic', 'yarn', 'longrope', 'llama3', 'proportional'] as const
type RopeType = (typeof TYPES)[number]

/** What each type has beside the fields of all types. */
const FIELDS: Record<RopeType, readonly (keyof RopeScaling)[]> = {
  default: [],
  linear: ['factor'],
  proportional: ['factor'],
  dynamic: ['factor'],
  yarn: [
    'factor',
    'original_max_position_embeddings',
    'attention_factor',
    'beta_fast',
    'beta_slow',
    'mscale',
    'mscale_all_dim',
    'truncate',
  ],
  longrope: ['factor', 'original_max_position_embeddings', 'attention_factor', 'short_factor', 'long_factor'],
  llama3: ['factor', 'original_max_position_embeddings', 'low_freq_factor', 'high_freq_factor'],
}
const COMMON: readonly string[] = [
  'rope_type',
  'type',
  'rope_theta',
  'partial_rotary_factor',
  'max_position_embeddings',
]

const length = () =>
  z
    .int()
    .min(1)
    .max(2 ** 40)
const magnitude = () => z.number().min(0).max(FLOAT32_MAX)

export function scalingField(tensors: TensorKinds) {
  return z
    .strictObject({
      rope_type: z.enum(TYPES).optional().describe('default `"default"`'),
      type: z.enum(TYPES).optional().describe('the older name of rope_type'),
      rope_theta: positive().optional().describe('instead of `base`'),
      partial_rotary_factor: z
        .number()
        .gt(0)
        .max(1)
        .optional()
        .describe(
          'which share of a head is rotated, instead of `dims`; proportional: which share of its pairs turns, by frequencies as if all did',
        ),
      max_position_embeddings: length()
        .optional()
        .describe('dynamic: beyond this length the base grows; else what the lengths below default to'),
      factor: positive()
        .optional()
        .describe(
          'linear, dynamic, llama3: needed. yarn, longrope: default max_position_embeddings over the original. proportional: default 1',
        ),
      original_max_position_embeddings: length()
        .optional()
        .describe('yarn, longrope, llama3: default max_position_embeddings'),
      attention_factor: magnitude()
        .optional()
        .describe(
          'yarn, longrope: cos and sin times it. Default: 0.1·ln(factor) + 1 for yarn, √(1 + ln(factor)/ln(original)) for longrope, 1 where factor ≤ 1',
        ),
      beta_fast: positive()
        .optional()
        .describe('yarn: pairs that turn more often than this keep their frequency; default 32'),
      beta_slow: positive()
        .optional()
        .describe('yarn: pairs that turn less often than this are interpolated; default 1'),
      mscale: magnitude()
        .optional()
        .describe(
          'yarn: beside mscale_all_dim, neither being 0, attention_factor is by default (0.1·mscale·ln(factor) + 1)/(0.1·mscale_all_dim·ln(factor) + 1)',
        ),
      mscale_all_dim: magnitude().optional(),
      truncate: z
        .boolean()
        .optional()
        .describe('yarn: whether the ends of the ramp are whole pairs; default true'),
      short_factor: tensors.values
        .optional()
        .describe('longrope: [dims/2], divides the frequencies up to the original length'),
      long_factor: tensors.values
        .optional()
        .describe('longrope: [dims/2], divides the frequencies beyond the original length'),
      low_freq_factor: positive()
        .optional()
        .describe('llama3: wavelengths beyond original/low_freq_factor are interpolated'),
      high_freq_factor: positive()
        .optional()
        .describe(
          'llama3: wavelengths below original/high_freq_factor are kept; greater than low_freq_factor',
        ),
    })
    .meta({
      id: tensors.shapeAlone ? 'RopeScalingShape' : 'RopeScaling',
      description:
        'How the frequencies are scaled for longer contexts: `rope_scaling` or `rope_parameters` of a model’s config.json on Hugging ' +
        'Face, by its own field names. A field that the type does not have is a 400. The length that dynamic and longrope look at is ' +
        'the highest position of q and the new keys + 1.',
    })
}

export type RopeScaling = z.output<ReturnType<typeof scalingField>>

export function ropeType({ rope_type, type }: RopeScaling): RopeType {
  return rope_type ?? type ?? 'default'
}

/** The rule of the frequencies, and what cos and sin are multiplied by. */
export interface ScalingRule {
  rule: FrequencyRule
  attention: number
}

/** What `scaling` says of `dims` rotated elements. `dimsPointer`: where their number can be said. */
export function scalingRule(scaling: RopeScaling, base: number, dims: number, pointer: string): ScalingRule {
  checkFields(scaling, pointer)
  const kind = ropeType(scaling)
  const given = { scaling, kind, pointer }
  const { low_freq_factor, high_freq_factor, partial_rotary_factor: partial = 1 } = scaling
  switch (kind) {
    case 'default':
      return { rule: { kind, base }, attention: 1 }
    case 'linear':
      return { rule: { kind, base, factor: needed(given, 'factor') }, attention: 1 }
    case 'proportional': {
      const rotated = Math.floor((partial * dims) / 2)
      return { rule: { kind, base, factor: scaling.factor ?? 1, rotated }, attention: 1 }
    }
    case 'dynamic': {
      const rule = { kind, base, factor: needed(given, 'factor') } as const
      if (dims > 2) return { rule: { ...rule, most: needed(given, 'max_position_embeddings') }, attention: 1 }
      const message = `expected at least 4 rotated elements beside "rope_type":"dynamic", got ${dims}`
      throw fieldProblem('INVALID_REQUEST', `${pointer}/rope_type`, message)
    }
    case 'llama3': {
      const rule = { kind, base, factor: needed(given, 'factor'), original: originalLength(given) } as const
      const [low, high] = [needed(given, 'low_freq_factor'), needed(given, 'high_freq_factor')]
      if (low < high) return { rule: { ...rule, low, high }, attention: 1 }
      const message = `expected a number greater than low_freq_factor = ${low_freq_factor}, got ${high_freq_factor}`
      throw fieldProblem('INVALID_REQUEST', `${pointer}/high_freq_factor`, message)
    }
    case 'longrope':
      return longrope(given, base)
    case 'yarn':
      return yarn(given, base)
  }
}

interface Given {
  scaling: RopeScaling
  kind: RopeType
  pointer: string
}

function yarn(given: Given, base: number): ScalingRule {
  const { scaling, kind, pointer } = given
  const original = originalLength(given)
  const factor = ratio(given, original)
  const { beta_fast: fast = 32, beta_slow: slow = 1, truncate = true, mscale, mscale_all_dim } = scaling
  if (base === 1) {
    const place = scaling.rope_theta === undefined ? `${pointer}/rope_type` : `${pointer}/rope_theta`
    throw fieldProblem('INVALID_REQUEST', place, `expected a base other than 1 beside "rope_type":"${kind}"`)
  }
  const temperature = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1)
  const inferred =
    mscale && mscale_all_dim ? temperature(mscale) / temperature(mscale_all_dim) : temperature(1)
  const rule = { kind: 'yarn', base, factor, fast, slow, original, truncate } as const
  return { rule, attention: scaling.attention_factor ?? inferred }
}

function longrope(given: Given, base: number): ScalingRule {
  const { scaling, pointer } = given
  const original = originalLength(given)
  for (const name of ['short_factor', 'long_factor'] as const) {
    if (scaling[name] === undefined) throw missing(given, name, 'a tensor')
  }
  const rule = { kind: 'longrope', base, original } as const
  if (scaling.attention_factor !== undefined) return { rule, attention: scaling.attention_factor }
  const factor = ratio(given, original)
  if (factor <= 1) return { rule, attention: 1 }
  if (original > 1) return { rule, attention: Math.sqrt(1 + Math.log(factor) / Math.log(original)) }
  const message = 'expected a number of at least 2 (or attention_factor), got 1'
  throw fieldProblem('INVALID_REQUEST', `${pointer}/original_max_position_embeddings`, message)
}

/** Refuses two names for the type that disagree, and fields of other types. */
function checkFields(scaling: RopeScaling, pointer: string): void {
  const { rope_type, type } = scaling
  if (rope_type !== undefined && type !== undefined && rope_type !== type) {
    throw bothProblem(pointer, 'rope_type', 'type')
  }
  const kind = ropeType(scaling)
  const fields: readonly string[] = FIELDS[kind]
  const foreign = Object.keys(scaling).find(name => !COMMON.includes(name) && !fields.includes(name))
  if (foreign === undefined) return
  const message = `expected no such field beside "rope_type":"${kind}", got one`
  throw fieldProblem('INVALID_REQUEST', `${pointer}/${foreign}`, message)
}

function needed(
  given: Given,
  name: 'factor' | 'max_position_embeddings' | 'low_freq_factor' | 'high_freq_factor',
): number {
  const value = given.scaling[name]
  if (value === undefined) throw missing(given, name, 'a number')
  return value
}

function missing({ kind, pointer }: Given, name: string, expected: string) {
  const message = `expected ${expected} beside "rope_type":"${kind}", got nothing`
  return fieldProblem('INVALID_REQUEST', `${pointer}/${name}`, message)
}

function originalLength(given: Given): number {
  const { original_max_position_embeddings: original, max_position_embeddings: most } = given.scaling
  if (original === undefined && most === undefined) {
    throw missing(given, 'original_max_position_embeddings', 'a number (or max_position_embeddings)')
  }
  return original ?? (most as number)
}

function ratio(given: Given, original: number): number {
  const { factor, max_position_embeddings: most } = given.scaling
  if (factor === undefined && most === undefined) {
    throw missing(given, 'factor', 'a number (or max_position_embeddings)')
  }
  return factor ?? (most as number) / original
}
