import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena, type Region } from './arena.ts'

describe('the arena', () => {
  it('never hands out memory twice, and is whole again when all is free', () => {
    const actions = fc.array(
      fc.oneof(fc.integer({ min: 0, max: 300_000 }), fc.integer({ min: -20, max: -1 })),
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
          const fits = arena.fits(action)
          const region = arena.allocate(action)
          expect(region !== undefined).toBe(fits)
          if (region === undefined) continue
          expect(region.bytes).toBeGreaterThanOrEqual(action)
          expect(region.offset % 64).toBe(0)
          expect(region.offset).toBeGreaterThanOrEqual(65536)
          // kernels may read a few bytes past a buffer: the last page stays unused
          expect(region.offset + region.bytes).toBeLessThanOrEqual(arena.memory.buffer.byteLength - 65536)
          for (const other of live) {
            expect(
              other.offset + other.bytes <= region.offset || region.offset + region.bytes <= other.offset,
            ).toBe(true)
          }
          live.push(region)
        }
        for (const region of live) arena.free(region)
        expect(arena.usedBytes).toBe(0)
        expect(arena.allocate(2 << 20)).toBeDefined()
      }),
      { numRuns: 200 },
    )
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
