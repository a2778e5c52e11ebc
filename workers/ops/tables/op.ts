/** Encodings of positions that are tables. Angles are float64 whatever the precision. */
import { defineFamily, price } from '../define-op.ts'

/** Rough operations an element takes, most of them for its angle. */
const SINUSOID_FLOPS = 100
const ROTATION_FLOPS = 200
const BIAS_FLOPS = 3

const SINUSOID = price(32)
const ROTATION = price(36)
const BIAS = price(1.1)
const BIAS_ROW = price(10)

const family = defineFamily('tables')

/**
 * PE(position, 2j) = sin((position + offset)/base^(2j/dim)), PE(position, 2j + 1) = cos of the same; encoding
 * [positions, dim]. Unit = position.
 */
export const sinusoidalTable = family.define('sinusoidalTable', {
  tensors: { encoding: 'out' },
  args: { positions: 'i32', dim: 'i32', base: 'f64', offset: 'f64' },
  units: a => a.positions,
  cost: (a, { precision: p }) => {
    const elements = a.positions * a.dim
    return { flops: elements * SINUSOID_FLOPS, nanoseconds: elements * SINUSOID[p] }
  },
  shared: true,
})

/** cos and sin of position·base^(−2j/dims), [positions, dims/2] each; position = row + offset. Unit = position. */
export const ropeTable = family.define('ropeTable', {
  tensors: { cos: 'out', sin: 'out' },
  args: { positions: 'i32', dims: 'i32', base: 'f64', offset: 'f64' },
  units: a => a.positions,
  cost: (a, { precision: p }) => {
    const pairs = a.positions * (a.dims / 2)
    return { flops: pairs * ROTATION_FLOPS, nanoseconds: pairs * ROTATION[p] }
  },
  shared: true,
})

/** bias[h, i, j] = −slopes[h]·|i − j|, [heads, queries, keys]. Unit = row (head, query). */
export const alibiBias = family.define('alibiBias', {
  tensors: { slopes: 'in', bias: 'out' },
  args: { heads: 'i32', queries: 'i32', keys: 'i32' },
  units: a => a.heads * a.queries,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.keys * BIAS_FLOPS,
    nanoseconds: units * (BIAS_ROW[p] + a.keys * BIAS[p]),
  }),
  shared: true,
})
