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
  readonly #holes: Hole[] = []

  constructor(start: number) {
    this.top = start
  }

  /** Whether a hole is as large as this. */
  fits(bytes: number): boolean {
    return this.#holes.some(hole => hole.bytes >= bytes)
  }

  /** The place of `bytes` bytes in a hole; undefined where none is large enough. */
  reuse(bytes: number): number | undefined {
    for (const [at, hole] of this.#holes.entries()) {
      if (hole.bytes < bytes) continue
      const { offset } = hole
      hole.offset += bytes
      hole.bytes -= bytes
      if (hole.bytes === 0) this.#holes.splice(at, 1)
      return offset
    }
    return undefined
  }

  /** The place of `bytes` bytes beyond everything handed out so far. */
  extend(bytes: number): number {
    const offset = this.top
    this.top += bytes
    return offset
  }

  /** Joined with the holes that it touches; what reaches `top` is no hole but unused again. */
  giveBack(offset: number, bytes: number): void {
    const holes = this.#holes
    let at = 0
    while (at < holes.length && holes[at].offset < offset) at++
    const before = holes[at - 1]
    const behind = holes[at]
    let hole: Hole
    if (before !== undefined && before.offset + before.bytes === offset) {
      hole = before
      hole.bytes += bytes
      at--
    } else {
      hole = { offset, bytes }
      holes.splice(at, 0, hole)
    }
    if (behind !== undefined && hole.offset + hole.bytes === behind.offset) {
      hole.bytes += behind.bytes
      holes.splice(at + 1, 1)
    }
    if (hole.offset + hole.bytes === this.top) {
      this.top = hole.offset
      holes.splice(at, 1)
    }
  }
}
