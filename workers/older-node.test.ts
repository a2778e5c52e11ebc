import { expect, it } from 'vitest'
import { f16round, halfBits, halfFrom } from './older-node.ts'

const native = new Float16Array(1)
const bits = new Uint16Array(native.buffer)

/** Every half, the middle between each and the next, and what lies just beside that middle. */
const NUMBERS = Array.from({ length: 0x7c00 }, (_, word) => {
  bits[0] = word
  const [low] = native
  bits[0] = word + 1
  const middle = (low + (Number.isFinite(native[0]) ? native[0] : 65536)) / 2
  return [low, middle, middle * (1 - 2 ** -52), middle * (1 + 2 ** -52), -low, -middle]
}).flat()

it('rounds to a half as the runtime does', () => {
  const more = [0, -0, 2 ** -1074, 1e300, Infinity, -Infinity, NaN, 0.1, 1 - 2 ** -53]
  const wrong = [...NUMBERS, ...more].filter(value => !Object.is(f16round(value), Math.f16round(value)))
  expect(wrong).toEqual([])
})

it('gives the bits of a half, and finds it by them', () => {
  const wrong = []
  for (let word = 0; word < 0x10000; word++) {
    bits[0] = word
    const [value] = native
    if (!Object.is(halfFrom(word), value)) wrong.push(word)
    const expected = Number.isNaN(value) ? 0x7e00 : word
    if (halfBits(value) !== expected) wrong.push(word)
  }
  expect(wrong).toEqual([])
})
