import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena, type Region } from './arena.ts'

describe('the arena', () => {
  it('never hands out memory twice, and is whole again when all is free', () => {
    const actions = fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 300_000 }),
        fc.integer({ min: -20, max: -1 }),
        // beyond a hundred million: a region that grows or shrinks
        fc.integer({ min: 100_000_000, max: 100_000_000 + 20 * 600_000 }),
      ),
      { maxLength: 200 },
    )
    fc.assert(
      fc.property(actions, list => {
        const arena = new Arena(2 << 20)
        const live: Region[] = []
        for (const action of list) {
          if (action < 0) {
            const [region] = live.splice(-action % Math.max(1, live.length), 1)
            if (region !== undefined) arena.free(region)
            continue
          }
          if (action >= 100_000_000) {
            const at = (action % 20) % Math.max(1, live.length)
            const wanted = Math.floor((action - 100_000_000) / 20)
            const region = live[at]
            if (region === undefined) continue
            const resized =
              wanted > region.bytes ? arena.extend(region, wanted) : arena.shrink(region, wanted)
            if (resized === undefined) continue
            expect(resized.offset).toBe(region.offset)
            expect(resized.bytes).toBeGreaterThanOrEqual(wanted)
            live.splice(at, 1)
            expectApart(resized, live, arena)
            live.push(resized)
            continue
          }
          const fits = arena.fits(action)
          const region = arena.allocate(action)
          expect(region !== undefined).toBe(fits)
          if (region === undefined) continue
          expect(region.bytes).toBeGreaterThanOrEqual(action)
          expectApart(region, live, arena)
          live.push(region)
        }
        for (const region of live) arena.free(region)
        expect(arena.usedBytes).toBe(0)
        expect(arena.allocate(arena.largeLimit)).toBeDefined()
      }),
      { numRuns: 200 },
    )
  })

  it('extends a region in its place where the addresses behind it are free', () => {
    const arena = new Arena(64 << 20)
    const first = arena.allocate(1 << 20) as Region
    const grown = arena.extend(first, 3 << 20) as Region
    expect(grown).toEqual({ offset: first.offset, bytes: 3 << 20 })
    const behind = arena.allocate(1 << 20) as Region
    expect(arena.extend(grown, 4 << 20)).toBeUndefined()
    arena.free(behind)
    expect(arena.extend(grown, 4 << 20)).toMatchObject({ offset: first.offset })
    expect(arena.usedBytes).toBe(4 << 20)
  })

  it('has room for small regions whatever large ones have taken', () => {
    const arena = new Arena(64 << 20)
    const large = arena.allocate(arena.largeLimit) as Region
    expect(arena.fits(2 << 20)).toBe(false)
    expect(arena.allocate(2 << 20)).toBeUndefined()
    expect(arena.extend(large, large.bytes + 64)).toBeUndefined()
    expect(arena.allocate(64 << 10, true)).toBeUndefined()
    expect(arena.fits(64 << 10)).toBe(true)
    const small = [1, 2].map(() => arena.allocate(1 << 20) as Region)
    expect(small).not.toContain(undefined)
    // nor may a large one stand in a gap there
    arena.free(small[0])
    expect(arena.allocate((1 << 20) + 1)).toBeUndefined()
    expect(arena.allocate(1 << 20)).toEqual(small[0])
  })

  it('reuses low addresses before it grows', () => {
    const arena = new Arena(64 << 20)
    for (let turn = 0; turn < 100; turn++) {
      const regions = [1, 2, 3].map(() => arena.allocate(1 << 20) as Region)
      for (const region of regions) arena.free(region)
    }
    expect(arena.committedBytes).toBeLessThan(5 << 20)
  })
})

/** Beside all others, at a place where regions may stand. */
function expectApart(region: Region, others: Region[], arena: Arena): void {
  expect(region.offset % 64).toBe(0)
  expect(region.offset).toBeGreaterThanOrEqual(65536)
  // kernels may read a few bytes past a buffer: the last page stays unused
  expect(region.offset + region.bytes).toBeLessThanOrEqual(arena.memory.buffer.byteLength - 65536)
  for (const other of others) {
    expect(other.offset + other.bytes <= region.offset || region.offset + region.bytes <= other.offset).toBe(
      true,
    )
  }
}
