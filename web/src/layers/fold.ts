/** Leaves special tokens out of what is drawn: their rows and their columns. */
import { isSpecial, namesOf, type Span } from '../tokens/names.ts'
import type { FullMap } from './full-maps.ts'
import type { Thumbnail } from './thumbnail.ts'

/** The tokens of a run. */
export interface RunTokens {
  /** as the vocabulary writes them */
  strings: string[]
  /** as people read them */
  names: string[]
  /** those that the tokenizer has put in, and stand nowhere in the text */
  special: boolean[]
}

export function plainTokens(strings: string[]): RunTokens {
  return { strings, names: strings, special: strings.map(() => false) }
}

/** Of `accepted`. */
export function toldTokens(told: unknown, text: string): RunTokens {
  const { strings: [strings = []] = [], offsets: [spans = []] = [] } = told as {
    strings?: string[][]
    offsets?: Span[][]
  }
  return {
    strings,
    names: namesOf(text, strings, spans),
    special: strings.map((_, index) => isSpecial(spans[index])),
  }
}

/** The places that are drawn; a text of nothing but special tokens is drawn as it is. */
export function keptPlaces({ special }: RunTokens, fold: boolean): number[] {
  const all = [...special.keys()]
  const plain = all.filter(index => !special[index])
  return fold && plain.length > 0 ? plain : all
}

export function foldMap(map: FullMap, kept: readonly number[]): FullMap {
  if (kept.length === map.cols || map.rows !== map.cols) return map
  const count = kept.length
  const data = new (map.data.constructor as Float64ArrayConstructor)(count * count)
  for (const [i, row] of kept.entries())
    for (const [j, col] of kept.entries()) data[i * count + j] = map.data[row * map.cols + col]!
  return { rows: count, cols: count, data }
}

/** A picture of fewer pixels than pairs stays as it is: special tokens are less than a pixel there. */
export function foldThumbnail(thumbnail: Thumbnail, kept: readonly number[], count: number): Thumbnail {
  if (kept.length === count) return thumbnail
  const { rows, cols, bytes, scale } = thumbnail
  const entropy = thumbnail.entropy && Float32Array.from(kept, row => thumbnail.entropy![row] ?? 0)
  if (rows !== count || cols !== count) return { ...thumbnail, entropy }
  const picked = Uint8Array.from({ length: kept.length ** 2 }, (_, index) => {
    const [row, col] = [Math.floor(index / kept.length), index % kept.length]
    return bytes[kept[row]! * cols + kept[col]!]!
  })
  // the largest of what is left has the strongest colour again
  const largest = picked.reduce((most, byte) => Math.max(most, byte), 1)
  return {
    ...thumbnail,
    rows: kept.length,
    cols: kept.length,
    bytes: picked.map(byte => Math.round((byte * 255) / largest)),
    scale: (scale * largest) / 255,
    entropy,
  }
}
