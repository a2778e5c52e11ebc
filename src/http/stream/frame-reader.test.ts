import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { FrameReader, PIECE } from './frame-reader.ts'

const MOST = 2 ** 30

/** A frame of a client; its payload is zeros, masked with zeros. */
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
      const reader = new FrameReader(MOST, () => {})
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
  const reader = new FrameReader(MOST, () => {})
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

interface Frame {
  opcode: number
  fin: boolean
  payload: Buffer
}

/** With a payload and a mask. */
function masked(opcode: number, fin: boolean, payload: Buffer): Buffer {
  const bytes = frame(opcode, payload.length, fin)
  const [start, mask] = [bytes.length - payload.length, [1, 22, 133, 244]]
  bytes.set(mask, start - 4)
  for (const [index, byte] of payload.entries()) bytes[start + index] = byte ^ mask[index % 4]
  return bytes
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1] & 0x7f
    const [length, size] =
      short === 127
        ? [Number(bytes.readBigUInt64BE(at + 2)), 8]
        : short === 126
          ? [bytes.readUInt16BE(at + 2), 2]
          : [short, 0]
    const start = at + 2 + size + 4
    const mask = bytes.subarray(start - 4, start)
    const payload = Buffer.from(bytes.subarray(start, start + length))
    for (let index = 0; index < length; index++) payload[index] ^= mask[index % 4]
    frames.push({ opcode: bytes[at] & 0x0f, fin: (bytes[at] & 0x80) !== 0, payload })
    at = start + length
  }
  return frames
}

/** What is passed on of bytes that come in chunks of these lengths, and whether it was text in disguise, message by message. */
function passed(bytes: Buffer, cuts: number[], most = MOST) {
  const passed: Buffer[] = []
  const reader: FrameReader = new FrameReader(most, part => {
    passed.push(Buffer.from(part))
    disguised.push(reader.text)
  })
  const disguised: boolean[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const next = at + cuts[turn % cuts.length]
    reader.read(bytes.subarray(at, next))
    at = next
  }
  return { frames: framesOf(Buffer.concat(passed)), disguised, parts: passed.length }
}

const noise = (length: number) => Buffer.from(Array.from({ length }, (_, index) => (index * 7919) % 251))

it('passes long frames in pieces of the same content, however the bytes are cut', () => {
  const message = fc.record({
    text: fc.boolean(),
    parts: fc.array(fc.constantFrom(0, 1, 126, PIECE, PIECE + 1, 2 * PIECE + 3), {
      minLength: 1,
      maxLength: 3,
    }),
    ping: fc.boolean(),
  })
  const property = fc.property(
    fc.array(message, { maxLength: 4 }),
    fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1 }),
    (messages, cuts) => {
      const sent = messages.flatMap(({ text, parts, ping }) =>
        parts.flatMap((length, at) => {
          const last = at === parts.length - 1
          const opcode = at > 0 ? 0 : text ? 1 : 2
          return [
            masked(opcode, last, noise(length)),
            ...(ping && !last ? [masked(9, true, Buffer.from('ping'))] : []),
          ]
        }),
      )
      const { frames } = passed(Buffer.concat(sent), cuts)
      expect(Math.max(0, ...frames.map(({ payload }) => payload.length))).toBeLessThanOrEqual(PIECE)
      const data = frames.filter(({ opcode }) => opcode < 8)
      expect(frames.length - data.length).toBe(
        messages.reduce((sum, { parts, ping }) => sum + (ping ? parts.length - 1 : 0), 0),
      )
      for (const { text, parts } of messages) {
        const of = data.splice(0, data.findIndex(({ fin }) => fin) + 1)
        const whole = text && parts.length === 1 && parts[0] <= PIECE
        expect(of.map(({ opcode }) => opcode)).toEqual([whole ? 1 : 2, ...Array(of.length - 1).fill(0)])
        const payload = Buffer.concat(of.map(each => each.payload))
        expect(payload.equals(Buffer.concat(parts.map(noise)))).toBe(true)
      }
      expect(data).toEqual([])
    },
  )
  fc.assert(property, { numRuns: 12 })
})

it('passes what comes as it comes where no frame is long', () => {
  const frames = [masked(1, true, noise(100)), masked(2, false, noise(PIECE)), masked(0, true, noise(5))]
  const { parts, disguised } = passed(Buffer.concat(frames), [MOST])
  expect([parts, disguised]).toEqual([1, [false]])
})

it('says that text is text while its last bytes are passed, and of no other message', () => {
  const ends: [number, boolean][] = []
  const reader: FrameReader = new FrameReader(MOST, bytes => {
    if (bytes.at(-1) === 0x5a) ends.push([bytes.length, reader.text])
  })
  const end = (opcode: number, length: number) => {
    const bytes = frame(opcode, length, true)
    bytes[bytes.length - 1] = 0x5a
    return bytes
  }
  reader.read(Buffer.concat([end(1, 10), end(1, PIECE + 10), end(2, 20), end(1, PIECE + 30), end(1, 40)]))
  expect(ends.map(([, text]) => text)).toEqual([false, true, false, true, false])
})

it('leaves a frame that is longer than any may be to the library', () => {
  const bytes = masked(1, true, noise(PIECE + 1))
  expect(passed(bytes, [1000], PIECE).frames).toMatchObject([{ opcode: 1, fin: true }])
})
