import { expect, it } from 'vitest'
import { unmask } from './unmask.ts'

it('unmasks the same as one byte after the other, wherever the bytes stand and whatever has come before', () => {
  const mask = Uint8Array.of(1, 22, 133, 244)
  const room = Buffer.alloc(64)
  for (let offset = 0; offset < 8; offset++) {
    for (let length = 0; length < 20; length++) {
      for (let before = 0; before < 5; before++) {
        room.fill(7)
        unmask(room.subarray(offset, offset + length), mask, before)
        const wanted = Array.from({ length: 64 }, (_, at) => {
          const inside = at >= offset && at < offset + length
          return inside ? 7 ^ mask[(before + at - offset) % 4] : 7
        })
        expect([...room]).toEqual(wanted)
      }
    }
  }
})
