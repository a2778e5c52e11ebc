/**
 * Random parameters, the same on every machine.
 *
 * Element i of a tensor is a hash of (seed, stream, i) and nothing else, in unsigned 32-bit arithmetic (mix: dropout.ts):
 *
 *   n    = 2·i and 2·i + 1, exact integers = 2³²·nHigh + nLow
 *   key1 = mix(stream ^ mix(seedLow ^ 0x9e3779b9))            the constant keeps it apart from dropout of the same seed
 *   key2 = mix(key1 + mix(seedHigh ^ nHigh))
 *   word = mix(mix(nLow ^ key1) + key2)
 *   k    = 2³²·⌊word(2i)/2¹¹⌋ + word(2i + 1)                   53 random bits
 *
 *   uniform   (2·k/2⁵³ − 1)·scale                              in [−scale, scale)
 *   normal    Φ⁻¹((⌊k/2⌋ + ½)/2⁵²)·scale                       symmetric, never 0 or 1
 *   constant  scale                                            biases, gamma and beta; uses no random bits
 *
 * Everything after that is + − × ÷ √ in float64, which IEEE 754 rounds alike everywhere (Math.log is not bound to).
 */
import type { Tensors } from '../define-op.ts'
import { mix } from '../dropout.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import { normalQuantile } from './normal-quantile.ts'
import type * as op from './op.ts'
import type { InitialiseArgs } from './op.ts'

const APART = 0x9e3779b9

/** A unit is ELEMENT_BLOCK elements; writes them, rounded to the type of `into`. */
export function initialise(
  t: Tensors<typeof op.initialise>,
  a: InitialiseArgs,
  from: number,
  to: number,
): void {
  if (a.distribution === 'constant') {
    t.into.fill(a.scale, from * ELEMENT_BLOCK, Math.min(to * ELEMENT_BLOCK, a.count))
    return
  }
  const draw = a.distribution === 'uniform' ? uniform : normal
  const key1 = mix(a.stream ^ mix(a.seedLow ^ APART))
  for (let unit = from; unit < to; unit++) {
    const first = unit * ELEMENT_BLOCK
    const count = Math.min(ELEMENT_BLOCK, a.count - first)
    // a unit's numbers n differ in their low words alone: 2·ELEMENT_BLOCK divides 2³²
    const key2 = mix(key1 + mix(a.seedHigh ^ Math.floor((2 * first) / 2 ** 32)))
    const nLow = (2 * first) | 0
    for (let i = 0; i < count; i++) {
      const high = mix(mix((nLow + 2 * i) ^ key1) + key2) >>> 11
      const k = high * 2 ** 32 + mix(mix((nLow + 2 * i + 1) ^ key1) + key2)
      t.into[first + i] = draw(k) * a.scale
    }
  }
}

/** In [−1, 1), from 53 random bits. */
function uniform(k: number): number {
  return 2 * (k / 2 ** 53) - 1
}

/** Of the standard normal distribution, from 53 random bits. */
function normal(k: number): number {
  return normalQuantile((Math.floor(k / 2) + 0.5) / 2 ** 52)
}
