/**
 * How fast each pair of a rotation turns with the position. The rules, and what their parameters are called, are those of
 * Hugging Face's transformers (modeling_rope_utils.py), in float64 throughout. θ_j is base^(−2j/dims) everywhere below.
 */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { FrequencyRule, RopeFrequenciesArgs } from './op.ts'

/** frequencies[j] by the rule of the arguments. A unit is a frequency. */
export function ropeFrequencies(
  t: Tensors<typeof op.ropeFrequencies>,
  a: RopeFrequenciesArgs,
  from: number,
  to: number,
): void {
  const { dims, rule } = a
  const length = t.length?.[0] ?? a.length
  const base = rule.kind === 'dynamic' ? dynamicBase(rule, length, dims) : rule.base
  const scales = rule.kind !== 'longrope' ? undefined : length > rule.original ? t.long : t.short
  const ramp = rule.kind === 'yarn' ? yarnRamp(rule, dims) : [0, 0]
  for (let j = from; j < to; j++) {
    const theta = base ** ((-2 * j) / dims)
    t.frequencies[j] = scaled(rule, theta, j, ramp, scales?.[j] ?? 1)
  }
}

function scaled(
  rule: FrequencyRule,
  theta: number,
  j: number,
  [low, high]: readonly number[],
  scale: number,
): number {
  switch (rule.kind) {
    // every frequency slows down by the same factor: positions are interpolated
    case 'linear':
      return theta / rule.factor
    // the pairs from `rotated` on do not turn
    case 'proportional':
      return j < rule.rotated ? theta / rule.factor : 0
    // pairs that turn often within the original length keep their frequency, slow ones are interpolated
    case 'yarn': {
      const kept = 1 - Math.min(1, Math.max(0, (j - low) / (high - low)))
      return (theta / rule.factor) * (1 - kept) + theta * kept
    }
    case 'llama3':
      return llama3(rule, theta)
    case 'longrope':
      return theta / scale
    default:
      return theta
  }
}

/**
 * base·(factor·L/most − (factor − 1))^(dims/(dims − 2)) for lengths L beyond `most`: the slowest pair is then interpolated, and
 * the fastest one as it was.
 */
function dynamicBase(
  { base, factor, most }: Extract<FrequencyRule, { kind: 'dynamic' }>,
  length: number,
  dims: number,
): number {
  const stretch = (factor * Math.max(length, most)) / most - (factor - 1)
  return base * stretch ** (dims / (dims - 2))
}

/**
 * Between which pairs the share of interpolation rises from 0 to 1: those that turn `fast` and `slow` times within the original
 * length. Source: Peng et al. 2023 (YaRN).
 */
function yarnRamp(rule: Extract<FrequencyRule, { kind: 'yarn' }>, dims: number): [number, number] {
  const { base, fast, slow, original, truncate } = rule
  const pairOf = (turns: number) => (dims * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base))
  const low = Math.max(0, truncate ? Math.floor(pairOf(fast)) : pairOf(fast))
  const high = Math.min(dims - 1, truncate ? Math.ceil(pairOf(slow)) : pairOf(slow))
  return [low, low === high ? high + 0.001 : high]
}

/**
 * By the wavelength 2π/θ: below original/high the frequency stays, above original/low it is divided by the factor, and between
 * them the two are blended.
 */
function llama3(rule: Extract<FrequencyRule, { kind: 'llama3' }>, theta: number): number {
  const { factor, low, high, original } = rule
  const wavelength = (2 * Math.PI) / theta
  if (wavelength < original / high) return theta
  if (wavelength > original / low) return theta / factor
  const smooth = (original / wavelength - low) / (high - low)
  return ((1 - smooth) * theta) / factor + smooth * theta
}

/** The highest of the positions + 1, and at least a.least. Writes length. */
export function highestPosition(
  t: Tensors<typeof op.highestPosition>,
  a: { least: number },
  _from: number,
  _to: number,
): void {
  let length = a.least
  for (const place of t.q ?? []) length = Math.max(length, place + 1)
  for (const place of t.k ?? []) length = Math.max(length, place + 1)
  t.length[0] = length
}
