/**
 * The one shared `WebAssembly.Memory` in which every tensor lives from decode to encode, handed out in regions.
 *
 * First fit over a free list sorted by address, so that low addresses are reused first and memory is grown only when
 * nothing free is large enough. The memory never shrinks (WebAssembly cannot), but it is bounded: `limit`.
 */
const PAGE = 65536
const ALIGN = 64
/** Page 0 belongs to the kernels' statics. */
const START = PAGE

export interface Region {
  readonly offset: number
  readonly bytes: number
}

export class Arena {
  readonly memory: WebAssembly.Memory
  readonly limit: number
  /** Fill fresh regions with 0xff (NaN), so that a test sees what a kernel failed to write. */
  poison = false
  #free: { offset: number; bytes: number }[] = []
  /** everything from here on is unused */
  #top = START
  #used = 0

  constructor(limitBytes: number) {
    const maximum = Math.min(65536, Math.floor(limitBytes / PAGE) + 2)
    this.memory = new WebAssembly.Memory({ initial: Math.min(16, maximum), maximum, shared: true })
    this.limit = (maximum - 2) * PAGE
  }

  get usedBytes(): number {
    return this.#used
  }

  get committedBytes(): number {
    return this.memory.buffer.byteLength
  }

  /** Whether an allocation of so many bytes would find room now. */
  fits(wanted: number): boolean {
    return this.#top + wanted <= START + this.limit || this.#free.some(hole => hole.bytes >= wanted)
  }

  /** undefined when there is no room now. */
  allocate(wanted: number): Region | undefined {
    const bytes = Math.max(ALIGN, Math.ceil(wanted / ALIGN) * ALIGN)
    const region = this.#reuse(bytes) ?? this.#extend(bytes)
    if (region === undefined) return undefined
    this.#used += bytes
    if (this.poison) new Uint8Array(this.memory.buffer, region.offset, bytes).fill(0xff)
    return region
  }

  #reuse(bytes: number): Region | undefined {
    const at = this.#free.findIndex(hole => hole.bytes >= bytes)
    if (at < 0) return undefined
    const hole = this.#free[at]
    const region = { offset: hole.offset, bytes }
    if (hole.bytes === bytes) this.#free.splice(at, 1)
    else this.#free[at] = { offset: hole.offset + bytes, bytes: hole.bytes - bytes }
    return region
  }

  #extend(bytes: number): Region | undefined {
    const end = this.#top + bytes
    if (end > START + this.limit) return undefined
    // kernels may read a few bytes past a buffer's end: the last page is never handed out
    const missing = end + PAGE - this.memory.buffer.byteLength
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE))
      } catch {
        return undefined // the system has no more to give: busy, not broken
      }
    }
    const region = { offset: this.#top, bytes }
    this.#top = end
    return region
  }

  free(region: Region): void {
    this.#used -= region.bytes
    let at = this.#free.findIndex(hole => hole.offset > region.offset)
    if (at < 0) at = this.#free.length
    this.#free.splice(at, 0, { ...region })
    this.#merge(at)
    if (at > 0) this.#merge(at - 1)
    const last = this.#free.at(-1)
    if (last !== undefined && last.offset + last.bytes === this.#top) {
      this.#top = last.offset
      this.#free.pop()
    }
  }

  /** Joins hole `at` with the one behind it where they touch. */
  #merge(at: number): void {
    const hole = this.#free[at]
    const next = this.#free[at + 1]
    if (hole === undefined || next === undefined || hole.offset + hole.bytes !== next.offset) return
    hole.bytes += next.bytes
    this.#free.splice(at + 1, 1)
  }
}
