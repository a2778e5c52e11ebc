import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { FrameReader } from './frame-reader.ts'

/** A frame of a client; its payload is zeros. */
function frame(opcode: number, length: number, fin: boolean): Buffer {
  const head = [(fin ? 0x80 : 0) | opcode]
  const size = Buffer.alloc(8)
  if (length < 126) head.push(0x80 | length)
  else if (length < 65536) {
    size.writeUInt16BE(length)
    head.push(0x80 | 126, ...size.subarray(0, 2))
  } else {
    size.writeBigUInt64BE(BigInt(length))
    head.push(0x80 | 127, ...size)
  }
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4 + length)])
}

it('finds the ends of messages, however the bytes are cut', () => {
  const message = fc.record({
    parts: fc.array(fc.constantFrom(0, 1, 125, 126, 300, 65_535, 65_536, 70_000), {
      minLength: 1,
      maxLength: 4,
    }),
    ping: fc.boolean(),
  })
  const property = fc.property(
    fc.array(message, { maxLength: 5 }),
    fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1 }),
    (messages, cuts) => {
      const frames = messages.flatMap(({ parts, ping }) =>
        parts.flatMap((length, at) => [
          frame(at === 0 ? 2 : 0, length, at === parts.length - 1),
          ...(ping ? [frame(9, 5, true)] : []),
        ]),
      )
      const bytes = Buffer.concat(frames)
      const reader = new FrameReader()
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const next = at + cuts[turn % cuts.length]
        reader.read(bytes.subarray(at, next))
        at = next
      }
      expect(reader).toMatchObject({ message: messages.length, bytes: 0 })
    },
  )
  fc.assert(property, { numRuns: 100 })
})

it('counts what has come of a message, and what is kept beside it, but no control frames', () => {
  const reader = new FrameReader()
  reader.read(frame(9, 100, true))
  expect(reader.bytes).toBe(0)
  reader.read(frame(2, 1000, false))
  expect(reader.bytes).toBeGreaterThanOrEqual(1000)
  expect(reader.bytes).toBeLessThan(1500)
  const { bytes } = reader
  for (let turn = 0; turn < 100; turn++) reader.read(frame(0, 1, false))
  expect(reader.bytes - bytes).toBeGreaterThan(100 * 100)
  reader.read(frame(0, 0, true))
  expect(reader).toMatchObject({ message: 1, bytes: 0 })
})
