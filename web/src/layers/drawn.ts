/** What is drawn of a run: its tokens, maps and thumbnails, without special tokens where those are folded away. */
import { foldMap, foldThumbnail, keptPlaces, plainTokens, type RunTokens } from './fold.ts'
import type { FullMap } from './full-maps.ts'
import type { Thumbnail } from './thumbnail.ts'

export class Drawn {
  #tokens = plainTokens([])
  #fold: boolean
  #kept: number[] = []
  /** as they were folded last: pointing at a map asks for it at every move */
  #maps = new WeakMap<FullMap, FullMap>()

  constructor(fold: boolean) {
    this.#fold = fold
  }

  /** Are there any to be folded away? */
  get hasSpecial(): boolean {
    return this.#tokens.special.includes(true)
  }

  /** As the vocabulary writes them. */
  get strings(): string[] {
    return this.#kept.map(place => this.#tokens.strings[place]!)
  }

  /** As people read them. */
  get names(): string[] {
    return this.#kept.map(place => this.#tokens.names[place]!)
  }

  set tokens(tokens: RunTokens) {
    this.#tokens = tokens
    this.#keep()
  }

  set fold(fold: boolean) {
    if (fold === this.#fold) return
    this.#fold = fold
    this.#keep()
  }

  /** The same token's place among what is drawn with or without the special ones; of one that goes, that of the next. */
  moved(row: number, fold: boolean): number {
    const place = this.#kept[row] ?? 0
    const kept = keptPlaces(this.#tokens, fold)
    return Math.max(
      0,
      kept.findIndex(each => each >= place),
    )
  }

  map(map: FullMap | undefined): FullMap | undefined {
    if (map === undefined) return undefined
    let folded = this.#maps.get(map)
    if (folded === undefined) {
      folded = foldMap(map, this.#kept)
      this.#maps.set(map, folded)
    }
    return folded
  }

  thumbnail(thumbnail: Thumbnail): Thumbnail {
    return foldThumbnail(thumbnail, this.#kept, this.#tokens.strings.length)
  }

  #keep(): void {
    this.#kept = keptPlaces(this.#tokens, this.#fold)
    this.#maps = new WeakMap()
  }
}
