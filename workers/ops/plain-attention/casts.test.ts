/** Casts to the types that are emulated, to the bit as PyTorch's: test/fixtures/make-cast-fixtures.py says of which numbers. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromFloat8 } from '../../text/float8.ts'
import { fromBfloat16, fromFloat16 } from '../../text/float16.ts'
import { roundingOf } from './rounding.ts'

const FIXTURE = JSON.parse(
  readFileSync(new URL('../../../test/fixtures/casts.json', import.meta.url), 'utf8'),
)

const TYPES = {
  float16: { codes: 65536, from: fromFloat16, beyond: [65519.996, 65520, 65520.004, 1e5] },
  bfloat16: { codes: 65536, from: fromBfloat16, beyond: [3.3961775e38, 3.4028235e38] },
  float8_e4m3: { codes: 256, from: (code: number) => fromFloat8('float8_e4m3', code), beyond: [] },
  float8_e5m2: { codes: 256, from: (code: number) => fromFloat8('float8_e5m2', code), beyond: [] },
}

const single = new Float32Array(1)
const word = new Int32Array(single.buffer)

/** The float32 next to a finite one, up (1) or down (−1). */
function beside(value: number, way: 1 | -1): number {
  single[0] = value
  if (value === 0) word[0] = way === 1 ? 1 : -0x7fffffff
  else word[0] += value > 0 === (way === 1) ? 1 : -1
  return single[0]
}

function distinct(numbers: number[]): number[] {
  const sorted = Float64Array.from(numbers).sort()
  return [...sorted].filter((x, at) => at === 0 || x !== sorted[at - 1])
}

function probesOf(values: number[], beyond: number[]): number[] {
  const finite = distinct(values.filter(Number.isFinite))
  const middles = finite.slice(1).map((x, at) => Math.fround((finite[at] + x) / 2))
  const about = [...finite, ...middles]
  const every = distinct([...about, ...about.map(x => beside(x, 1)), ...about.map(x => beside(x, -1))])
  const largest = finite[finite.length - 1]
  return [...every.filter(x => Math.abs(x) <= largest && x !== 0), ...beyond.map(Math.fround)]
}

function digest(numbers: number[]): string {
  const bytes = Float32Array.from(numbers)
  const bits = new Uint32Array(bytes.buffer)
  // a NaN is one whatever its bits are
  for (const [at, x] of bytes.entries()) if (Number.isNaN(x)) bits[at] = 0x7fc00000
  return createHash('sha256').update(new Uint8Array(bits.buffer)).digest('hex')
}

describe.each(Object.entries(TYPES))('%s', (name, { codes, from, beyond }) => {
  const values = Array.from({ length: codes }, (_, code) => from(code))
  const round = roundingOf(name as keyof typeof TYPES)

  it('has PyTorch’s number for every code', () => {
    expect(digest(values)).toBe(FIXTURE[name].values)
  })

  it('casts every number, the middles between them and what is beside both as PyTorch does', () => {
    const asked = probesOf(values, beyond)
    expect([asked.length, digest(asked)]).toEqual([FIXTURE[name].probes, FIXTURE[name].asked])
    expect(digest(asked.map(round))).toBe(FIXTURE[name].cast)
  })

  it('keeps its own numbers, zeros with their sign and NaN', () => {
    const own = values.filter(
      x => name.startsWith('float8') === false || Number.isFinite(x) || Number.isNaN(x),
    )
    expect(own.every(x => Object.is(round(x), x))).toBe(true)
    expect([round(0), round(-0), round(Number.NaN)]).toEqual([0, -0, Number.NaN])
  })
})

describe('beyond the largest number', () => {
  const large = [448.1, 463.9, 1e4, 1e300, Number.POSITIVE_INFINITY]
  it('only float8 saturates', () => {
    const above = large.map(x => [roundingOf('float8_e4m3')(x), roundingOf('float8_e4m3')(-x)])
    expect(above).toEqual(large.map(() => [448, -448]))
    expect([57345, 1e6, Number.POSITIVE_INFINITY].map(roundingOf('float8_e5m2'))).toEqual([
      57344, 57344, 57344,
    ])
    expect(roundingOf('float16')(65520)).toBe(Number.POSITIVE_INFINITY)
    expect(roundingOf('bfloat16')(-3.4e38)).toBe(Number.NEGATIVE_INFINITY)
    expect(roundingOf('float32')(1e39)).toBe(Number.POSITIVE_INFINITY)
  })
})
