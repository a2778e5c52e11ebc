/** Encodings of positions that are tables. Angles are float64 whatever the precision. */
import { type Args, data, defineFamily } from '../define-op.ts'

/** Rough operations an element takes, most of them for its angle. */
const SINUSOID_FLOPS = 100
const ROTATION_FLOPS = 200
const BIAS_FLOPS = 3
/** of an angle's frequency, and of a position that is looked at for the highest one */
const FREQUENCY_FLOPS = 100
const POSITION_FLOPS = 2

const family = defineFamily('tables')

/**
 * PE(position, 2j) = sin((position + offset)/base^(2j/dim)), PE(position, 2j + 1) = cos of the same; encoding
 * [positions, dim]. Unit = position.
 */
export const sinusoidalTable = family.define('sinusoidalTable', {
  tensors: { encoding: 'out' },
  args: { positions: 'i32', dim: 'i32', base: 'f64', offset: 'f64' },
  units: a => a.positions,
  cost: a => ({ flops: a.positions * a.dim * SINUSOID_FLOPS }),
  shared: true,
})

/**
 * factor·cos and factor·sin of position·frequency_j, [positions, dims/2] each; the position of a row is what `places` says,
 * else row + offset, and frequency_j = base^(−2j/dims) where there are no `frequencies`. Unit = row.
 */
export const ropeTable = family.define('ropeTable', {
  tensors: {
    /** [positions] */
    places: 'in?:int32',
    /** [dims/2] */
    frequencies: 'in?:float64',
    cos: 'out',
    sin: 'out',
  },
  args: { positions: 'i32', dims: 'i32', base: 'f64', offset: 'f64', factor: 'f64' },
  units: a => a.positions,
  cost: a => ({ flops: a.positions * (a.dims / 2) * ROTATION_FLOPS }),
  shared: true,
})

/** How the frequencies of a rotation follow from a base, θ_j = base^(−2j/dims), by the names that Hugging Face's transformers give. */
export type FrequencyRule =
  | { kind: 'default'; base: number }
  | { kind: 'linear'; base: number; factor: number }
  | { kind: 'proportional'; base: number; factor: number; rotated: number }
  | { kind: 'dynamic'; base: number; factor: number; most: number }
  | { kind: 'llama3'; base: number; factor: number; low: number; high: number; original: number }
  | { kind: 'longrope'; base: number; original: number }
  | {
      kind: 'yarn'
      base: number
      factor: number
      fast: number
      slow: number
      original: number
      truncate: boolean
    }

/** frequencies [dims/2] of a rotation, by a rule. Unit = frequency. */
export const ropeFrequencies = family.define('ropeFrequencies', {
  tensors: {
    /** [1], where `length` of the arguments is not to stand */
    length: 'in?:float64',
    /** [dims/2] each, for `longrope` */
    short: 'in?:float64',
    long: 'in?:float64',
    frequencies: 'out:float64',
  },
  args: {
    dims: 'i32',
    /** the highest position + 1, for `dynamic` and `longrope` */
    length: 'f64',
    rule: data<FrequencyRule>(),
  },
  units: a => a.dims / 2,
  cost: a => ({ flops: (a.dims / 2) * FREQUENCY_FLOPS }),
  shared: true,
})

/** length [1] = the highest position of q and k + 1, and at least `least`. One unit. */
export const highestPosition = family.define('highestPosition', {
  tensors: { q: 'in?:int32', k: 'in?:int32', length: 'out:float64' },
  args: {
    /** of both together */
    positions: 'f64',
    least: 'f64',
  },
  units: () => 1,
  cost: a => ({ flops: a.positions * POSITION_FLOPS }),
  shared: true,
})

/** bias[h, i, j] = −slopes[h]·|i − j|, [heads, queries, keys]. Unit = row (head, query). */
export const alibiBias = family.define('alibiBias', {
  tensors: { slopes: 'in', bias: 'out' },
  args: { heads: 'i32', queries: 'i32', keys: 'i32' },
  units: a => a.heads * a.queries,
  cost: (a, { units }) => ({ flops: units * a.keys * BIAS_FLOPS }),
  shared: true,
})

export type RopeFrequenciesArgs = Args<typeof ropeFrequencies>
