/** Encodings of positions that are tables. Angles are float64 whatever the precision. */
import { defineFamily } from '../define-op.ts'

/** Rough operations an element takes, most of them for its angle. */
const SINUSOID_FLOPS = 100
const ROTATION_FLOPS = 200
const BIAS_FLOPS = 3

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

/** cos and sin of position·base^(−2j/dims), [positions, dims/2] each; position = row + offset. Unit = position. */
export const ropeTable = family.define('ropeTable', {
  tensors: { cos: 'out', sin: 'out' },
  args: { positions: 'i32', dims: 'i32', base: 'f64', offset: 'f64' },
  units: a => a.positions,
  cost: a => ({ flops: a.positions * (a.dims / 2) * ROTATION_FLOPS }),
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
