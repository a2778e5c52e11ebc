/**
 * Dropout of the weights: kept with probability 1 − p and scaled by 1/(1−p), so that the mean stays what it was.
 *
 * Whether pair (row, j) is kept is a hash of the seed and its place and nothing else, so forward and backward, any cut
 * into tasks and every kernel set agree. All arithmetic is on unsigned 32-bit integers:
 *
 *   mix(x): x ^= x>>>16; x *= 0x7feb352d; x ^= x>>>15; x *= 0x846ca68b; x ^= x>>>16     (mod 2³²)
 *   row  = (b·heads + h)·queries + i, an exact integer = 2³²·rowHigh + rowLow
 *   key1 = mix(rowLow ^ mix(seedLow))
 *   key2 = mix(key1 + mix(seedHigh ^ rowHigh))
 *   bits = mix(mix(j ^ key1) + key2)
 *   kept ⟺ bits ≥ ⌊p·2³²⌋
 *
 * Sources: Srivastava et al. 2014 (dropout, here in its inverted form); the mixer is Chris Wellons' lowbias32.
 */

/** The part of the hash that a row's pairs have in common. */
export interface DropoutKeys {
  key1: number
  key2: number
}

export function mix(x: number): number {
  let y = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  y = Math.imul(y ^ (y >>> 15), 0x846ca68b)
  return (y ^ (y >>> 16)) >>> 0
}

export interface Seed {
  /** the seed's low and high 32 bits, unsigned */
  seedLow: number
  seedHigh: number
}

/** `row` counts rows of [batch, heads, queries], or of any tensor whose elements are dropped. */
export function dropoutKeys({ seedLow, seedHigh }: Seed, row: number): DropoutKeys {
  const rowLow = row % 2 ** 32
  const rowHigh = Math.floor(row / 2 ** 32)
  const key1 = mix(rowLow ^ mix(seedLow))
  const key2 = mix(key1 + mix(seedHigh ^ rowHigh))
  return { key1, key2 }
}

/** 32 random bits for key j of the row. */
export function dropoutBits({ key1, key2 }: DropoutKeys, j: number): number {
  return mix(mix(j ^ key1) + key2)
}

/** Z/(1−p): 0 where the weight is dropped, 1/(1−p) where it is kept; 1 without dropout. */
export function keepFactor({ dropoutP }: { dropoutP: number }, keys: DropoutKeys, j: number): number {
  if (dropoutP === 0) return 1
  return dropoutBits(keys, j) >= Math.floor(dropoutP * 2 ** 32) ? 1 / (1 - dropoutP) : 0
}
