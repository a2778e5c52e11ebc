/**
 * A stretch of addresses, handed out in pieces: first fit over the holes, sorted by address, so that low addresses are
 * reused first, and what lies beyond `top` was never needed.
 */
interface Hole {
  offset: number
  bytes: number
}

export class FreeList {
  /** everything from here on is unused */
  top: number
  #holes: Hole[] = []

  constructor(start: number) {
    this.top = start
  }

  /** Whether a hole is as large as this. */
  fits(bytes: number): boolean {
    return this.#holes.some(hole => hole.bytes >= bytes)
  }

  /** The place of `bytes` bytes in a hole; undefined where none is large enough. */
  reuse(bytes: number): number | undefined {
    const at = this.#holes.findIndex(hole => hole.bytes >= bytes)
    if (at < 0) return undefined
    const { offset, bytes: size } = this.#holes[at]
    if (size === bytes) this.#holes.splice(at, 1)
    else this.#holes[at] = { offset: offset + bytes, bytes: size - bytes }
    return offset
  }

  /** The place of `bytes` bytes beyond everything handed out so far. */
  extend(bytes: number): number {
    const offset = this.top
    this.top += bytes
    return offset
  }

  giveBack(offset: number, bytes: number): void {
    let at = this.#holes.findIndex(hole => hole.offset > offset)
    if (at < 0) at = this.#holes.length
    this.#holes.splice(at, 0, { offset, bytes })
    this.#merge(at)
    if (at > 0) this.#merge(at - 1)
    const last = this.#holes.at(-1)
    if (last !== undefined && last.offset + last.bytes === this.top) {
      this.top = last.offset
      this.#holes.pop()
    }
  }

  /** Joins hole `at` with the one behind it where they touch. */
  #merge(at: number): void {
    const hole = this.#holes[at]
    const next = this.#holes[at + 1]
    if (hole === undefined || next === undefined || hole.offset + hole.bytes !== next.offset) return
    hole.bytes += next.bytes
    this.#holes.splice(at + 1, 1)
  }
}
