/** The tokens of a request, read before its program is built: small data that shapes, costs and positions depend on. */

export interface Tokens {
  batch: number
  positions: number
  /** [batch, positions] each */
  ids: Int32Array
  /** 1 where there is no padding */
  real: Int32Array
  /** where each token stands, if padding before it does not count */
  places?: Int32Array | undefined
  /** rows of the table of types */
  kinds?: Int32Array
  /** 1 where the tokenizer has put a token of its own */
  special?: Uint8Array
  strings?: string[][]
  /** in code points of the text */
  offsets?: [number, number][][]
}

/** How many real tokens each sequence begins with, where nothing real comes behind its padding; else undefined. */
export function rightPadded({ batch, positions, real }: Tokens): Int32Array | undefined {
  const lengths = new Int32Array(batch)
  for (let b = 0; b < batch; b++) {
    const own = real.subarray(b * positions, (b + 1) * positions)
    const length = own.lastIndexOf(1) + 1
    if (own.subarray(0, length).includes(0)) return undefined
    lengths[b] = length
  }
  return lengths
}

export function hasPadding({ real }: Tokens): boolean {
  return real.includes(0)
}

/** The last real position of each sequence; 0 where there is none. */
export function lastReal({ batch, positions, real }: Tokens): Int32Array {
  return Int32Array.from({ length: batch }, (_, b) => {
    return Math.max(0, real.subarray(b * positions, (b + 1) * positions).lastIndexOf(1))
  })
}

/** Positions by the mask, as transformers counts those of decoders whose texts are padded on the left. */
export function placesByMask({ batch, positions, real }: Tokens): Int32Array {
  const places = new Int32Array(batch * positions)
  for (let b = 0; b < batch; b++) {
    let count = 0
    for (let at = b * positions; at < (b + 1) * positions; at++) {
      count += real[at]
      places[at] = Math.max(0, count - 1)
    }
  }
  return places
}

/** Where the embeddings of positions are read, from `first` on. `padded`: counted over tokens other than that one. */
export function placesOf(
  { batch, positions, ids, places: given }: Tokens,
  first: number,
  padded?: number,
): Int32Array {
  if (given !== undefined && padded === undefined) return given
  const places = new Int32Array(batch * positions)
  for (let b = 0; b < batch; b++) {
    let count = 0
    for (let i = 0; i < positions; i++) {
      const at = b * positions + i
      if (padded === undefined) places[at] = first + i
      else places[at] = ids[at] === padded ? padded : padded + ++count
    }
  }
  return places
}
