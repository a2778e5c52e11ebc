import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { scan, shared } from '../../test/support/text-memory.ts'
import { parseSafetensors as parse, safetensorsHeader } from './safetensors.ts'

const parseSafetensors = (file: Uint8Array) => parse(shared(file), scan)

function file(header: unknown, data = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(data)])
}
const entry = (dtype: string, shape: unknown, data_offsets: unknown) => ({ dtype, shape, data_offsets })

describe('safetensors', () => {
  it('reads what it writes', () => {
    const entries = fc.uniqueArray(
      fc.record({
        name: fc.string({ minLength: 1 }).filter(name => !['__metadata__', '__proto__'].includes(name)),
        dtype: fc.constantFrom('float32' as const, 'float64' as const, 'bfloat16' as const, 'bool' as const),
        shape: fc.array(fc.nat(4), { maxLength: 4 }),
      }),
      { selector: ({ name }) => name, maxLength: 6 },
    )
    fc.assert(
      fc.property(entries, fc.string(), (list, text) => {
        const header = safetensorsHeader(list, { response: text.repeat(200) })
        expect(header.length % 8).toBe(0)
        const sizes = { float32: 4, float64: 8, bfloat16: 2, bool: 1 }
        const size = list.reduce(
          (sum, { dtype, shape }) => sum + sizes[dtype] * shape.reduce((p, x) => p * x, 1),
          0,
        )
        const parsed = parseSafetensors(Buffer.concat([header, Buffer.alloc(size)]))
        if (!parsed.ok) throw new Error(parsed.message)
        expect(parsed.metadata.response).toBe(text.repeat(200))
        const found = parsed.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape }))
        const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
        expect(found.toSorted(byName)).toEqual(list.toSorted(byName))
      }),
    )
  })

  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /at least 8/],
    ['header past the end', file('{}').subarray(0, 9), /at least 10 bytes/],
    [
      'header of 2^63',
      Buffer.concat([Buffer.from('ffffffffffffff7f', 'hex'), Buffer.alloc(8)]),
      /header of at most/,
    ],
    ['no object', file('[]'), /JSON object/],
    ['no JSON', file('{'), /header, at byte 1/],
    ['unknown dtype', file({ q: entry('F8_E4M3', [1], [0, 1]) }, 1), /F8_E4M3/],
    ['dtype no string', file({ q: entry(5 as unknown as string, [1], [0, 1]) }, 1), /no string/],
    ['negative extent', file({ q: entry('F32', [-1], [0, 4]) }, 4), /non-negative integers/],
    ['fraction', file({ q: entry('F32', [1.5], [0, 6]) }, 6), /non-negative integers/],
    ['overflowing shape', file({ q: entry('F32', [2 ** 32, 2 ** 32], [0, 0]) }), /fewer elements/],
    ['shape no array', file({ q: entry('F32', 'x', [0, 4]) }, 4), /non-negative integers/],
    ['nested shape', file({ q: entry('F32', [[1]], [0, 4]) }, 4), /non-negative integers/],
    ['nine axes', file({ q: entry('F32', Array(9).fill(1), [0, 4]) }, 4), /at most 8 axes/],
    ['size', file({ q: entry('F32', [2], [0, 4]) }, 4), /8 bytes apart/],
    ['offsets backwards', file({ q: entry('F32', [0], [4, 0]) }, 4), /0 bytes apart/],
    ['three offsets', file({ q: entry('F32', [1], [0, 4, 4]) }, 4), /two offsets/],
    [
      'a hole',
      file({ a: entry('F32', [1], [0, 4]), b: entry('F32', [1], [8, 12]) }, 12),
      /begin at 4, got 8/,
    ],
    ['overlap', file({ a: entry('F32', [1], [0, 4]), b: entry('F32', [1], [2, 6]) }, 6), /begin at 4, got 2/],
    ['past the end', file({ a: entry('F32', [4], [0, 16]) }, 8), /16 bytes of data, got 8/],
    ['trailing bytes', file({ a: entry('F32', [1], [0, 4]) }, 5), /4 bytes of data, got 5/],
    [
      'one name twice',
      file(
        '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
      ),
      /one "a", got two/,
    ],
    ['unknown member', file({ a: { ...entry('F32', [0], [0, 0]), x: 1 } }), /only dtype/],
    ['metadata no strings', file({ __metadata__: { a: 1 } }), /a string/],
    ['metadata no object', file({ __metadata__: 'x' }), /object of strings/],
    ['deep', file(`{"a":${'['.repeat(5000)}`), /64 levels|end/],
  ])('%s', (_name, bytes, message) => {
    const parsed = parseSafetensors(bytes)
    expect(parsed.ok ? 'accepted' : parsed.message).toMatch(message)
  })

  it('never throws on damaged files', () => {
    const good = file({ q: entry('F32', [2, 2], [0, 16]), __metadata__: { request: '{}' } }, 16)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(good.length),
        (edits, end) => {
          const bad = Uint8Array.from(good)
          for (const [at, byte] of edits) bad[at] = byte
          parseSafetensors(bad.subarray(0, end))
          parseSafetensors(bad)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
