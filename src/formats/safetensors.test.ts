import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { scan, shared } from '../../test/support/text-memory.ts'
import { headerOf, parseSafetensors as parse, safetensorsHeader } from './safetensors.ts'

const parseSafetensors = (file: Uint8Array) => parse(shared(file), scan)

function file(header: unknown, data = 0): Uint8Array {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
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
    ['unknown dtype', file({ q: entry('F8_E5M2', [1], [0, 1]) }, 1), /F8_E5M2/],
    ['dtype no string', file({ q: entry(5 as unknown as string, [1], [0, 1]) }, 1), /no string/],
    ['negative extent', file({ q: entry('F32', [-1], [0, 4]) }, 4), /non-negative integers/],
    ['fraction', file({ q: entry('F32', [1.5], [0, 6]) }, 6), /non-negative integers/],
    ['overflowing shape', file({ q: entry('F32', [2 ** 32, 2 ** 32], [0, 0]) }), /at most 1073741824, got 4/],
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

  it('the header alone, where the file can have it', () => {
    const whole = file('{"a":1}')
    expect(Buffer.from(headerOf(whole) ?? '').toString()).toBe('{"a":1}')
    expect(headerOf(whole.subarray(0, 7))).toBeUndefined()
    expect(headerOf(whole.subarray(0, 14))).toBeUndefined()
    expect(headerOf(file(''))).toHaveLength(0)
    expect(headerOf(Buffer.concat([Buffer.from('0100100000000000', 'hex'), Buffer.alloc(1 << 21)]))).toBe(
      undefined,
    )
  })

  it('has bounds on tensors, levels of names and what a message shows', () => {
    const empty = entry('F32', [0], [0, 0])
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, empty]))
    const found = (header: object, data = 0) => {
      const parsed = parseSafetensors(file(header, data))
      return parsed.ok ? parsed.tensors.length : [parsed.pointer, parsed.message]
    }
    expect(found(named(4400))).toBe(4400)
    expect(found(named(4401))).toEqual(['', 'expected at most 4400 tensors, got 4401'])
    const levels = (count: number) => Array(count).fill('a').join('.')
    expect(found({ [levels(16)]: empty })).toBe(1)
    expect(found({ [levels(17)]: empty })).toEqual([`/${levels(17)}`, 'expected a name of at most 16 levels'])
    const apart = 'expected two offsets 0 bytes apart for float32 [0], got'
    const offsets = (count: number) => found({ a: entry('F32', [0], Array(count).fill(0)) })
    expect(offsets(8)).toEqual(['/a/data_offsets', `${apart} [${Array(8).fill(0).join(', ')}]`])
    expect(offsets(9)).toEqual(['/a/data_offsets', `${apart} 9 offsets`])
    expect(offsets(64)).toEqual(['/a/data_offsets', `${apart} 64 offsets`])
  })

  it('may have tensors of no bytes where others begin', () => {
    const header = {
      a: entry('F32', [1], [0, 4]),
      b: entry('F32', [0], [0, 0]),
      c: entry('F32', [0], [4, 4]),
    }
    expect(parseSafetensors(file(header, 4))).toMatchObject({ ok: true })
  })

  const WHOLE = 'expected an array of non-negative integers'
  const ELEMENT = 'expected only non-negative integers'
  const MEMBERS = 'expected only dtype, shape and data_offsets'
  const DTYPES = 'expected one of F64, F32, F16, BF16, BOOL, I32, I64, got'
  const good = entry('F32', [1], [0, 4])

  it.each<[string, unknown, number, string, string]>([
    ['no object', 'null', 0, '', 'expected a JSON object as the header'],
    ['a header that is a list', '["x"]', 0, '', 'expected a JSON object as the header'],
    ['a header that is no JSON', '{"a":', 0, '', 'header, at byte 5: expected a JSON value, got the end'],
    [
      'a fault of its meaning',
      '{"a":{"b":1,"b":2}}',
      0,
      '/a/b',
      'header, at byte 15: expected one "b", got two',
    ],
    [
      'an entry that is no object',
      { a: 'x' },
      0,
      '/a',
      'expected an object with dtype, shape and data_offsets',
    ],
    [
      'an entry that is a list',
      { a: ['x'] },
      0,
      '/a',
      'expected an object with dtype, shape and data_offsets',
    ],
    ['an entry that is null', { a: null }, 0, '/a', 'expected an object with dtype, shape and data_offsets'],
    ['an unknown member', { a: { ...good, more: 1 } }, 4, '/a/more', MEMBERS],
    ['an unknown dtype', { a: { ...good, dtype: 'F8' } }, 4, '/a/dtype', `${DTYPES} F8`],
    ['a dtype that is no string', { a: { ...good, dtype: 1 } }, 4, '/a/dtype', `${DTYPES} no string`],
    ['no dtype', { a: { shape: [1], data_offsets: [0, 4] } }, 4, '/a/dtype', `${DTYPES} no string`],
    ['a dtype of the language', { a: { ...good, dtype: 'x' } }, 4, '/a/dtype', `${DTYPES} x`],
    ['a shape of booleans', { a: { ...good, shape: [true] } }, 4, '/a/shape/0', ELEMENT],
    ['no shape', { a: { dtype: 'F32', data_offsets: [0, 4] } }, 4, '/a/shape', WHOLE],
    ['a shape of rows', { a: { ...good, shape: [[1]] } }, 4, '/a/shape', WHOLE],
    ['a shape of more than can be', { a: { ...good, shape: Array(65).fill(1) } }, 4, '/a/shape', WHOLE],
    ['a shape that is long text', { a: { ...good, shape: 'x'.repeat(2000) } }, 4, '/a/shape', WHOLE],
    ['no offsets', { a: { dtype: 'F32', shape: [1] } }, 4, '/a/data_offsets', WHOLE],
    ['a negative offset', { a: { ...good, data_offsets: [-4, 0] } }, 4, '/a/data_offsets/0', ELEMENT],
    ['half an offset', { a: { ...good, data_offsets: [0.5, 4.5] } }, 4, '/a/data_offsets/0', ELEMENT],
    [
      'nine axes',
      { a: { ...good, shape: Array(9).fill(1) } },
      4,
      '/a/shape',
      'expected at most 8 axes, got 9',
    ],
    [
      'an extent without end beside one of 0',
      { a: entry('F64', [0, 2 ** 30 + 1], [0, 0]) },
      0,
      '/a/shape/1',
      'expected at most 1073741824, got 1073741825',
    ],
    [
      'extents that are too many together beside one of 0',
      { a: entry('F64', [2 ** 30, 0, 2 ** 10 + 1], [0, 0]) },
      0,
      '/a/shape/2',
      'expected at most 1024 beside the extents before it, got 1025',
    ],
    [
      'the wrong size',
      { a: entry('F16', [2, 3], [0, 4]) },
      4,
      '/a/data_offsets',
      'expected two offsets 12 bytes apart for float16 [2, 3], got [0, 4]',
    ],
    [
      'one offset',
      { a: entry('F32', [0], [0]) },
      0,
      '/a/data_offsets',
      'expected two offsets 0 bytes apart for float32 [0], got [0]',
    ],
    [
      'three offsets',
      { a: entry('F32', [1], [0, 4, 4]) },
      4,
      '/a/data_offsets',
      'expected two offsets 4 bytes apart for float32 [1], got [0, 4, 4]',
    ],
    [
      'a hole at the beginning',
      { a: entry('F32', [1], [4, 8]) },
      8,
      '/a/data_offsets',
      'expected to begin at 0, got 4',
    ],
    ['bytes behind the last', { a: good }, 6, '', 'expected 4 bytes of data, got 6'],
    ['too few bytes', { a: good }, 3, '', 'expected 4 bytes of data, got 3'],
    ['metadata that are text', { __metadata__: 'x' }, 0, '/__metadata__', 'expected an object of strings'],
    [
      'a number among metadata',
      { __metadata__: { a: 'x', b: 1 } },
      0,
      '/__metadata__/b',
      'expected a string',
    ],
    ['a list among metadata', { __metadata__: { b: [1] } }, 0, '/__metadata__/b', 'expected a string'],
  ])('names %s', (_name, header, data, pointer, message) => {
    expect(parseSafetensors(file(header, data))).toEqual({ ok: false, pointer, message })
  })

  it('names a long text whose escapes are none', () => {
    const header = `{"__metadata__":{"a":"${'x'.repeat(1100)}\\q"}}`
    expect(parseSafetensors(file(header))).toEqual({
      ok: false,
      pointer: '',
      message: 'header, at byte 1123: expected one of "\\/bfnrtu behind the backslash, got "q"',
    })
  })

  it('names a long text that is no UTF-8', () => {
    const header = Buffer.from(`{"__metadata__":{"a":"${'x'.repeat(1100)}\xff"}}`, 'latin1')
    expect(parseSafetensors(file(header))).toEqual({
      ok: false,
      pointer: '/__metadata__/a',
      message: 'expected UTF-8',
    })
  })

  it('names what is wrong before the header', () => {
    const wrong = (bytes: Uint8Array) => {
      const parsed = parseSafetensors(bytes)
      return parsed.ok ? undefined : [parsed.pointer, parsed.message]
    }
    const length = (bytes: bigint, more = 0) => {
      const head = Buffer.alloc(8 + more)
      head.writeBigUInt64LE(bytes)
      return head
    }
    expect(wrong(Buffer.alloc(7))).toEqual(['', 'expected at least 8 bytes, got 7'])
    expect(wrong(length(2n))).toEqual([
      '',
      'expected a file of at least 10 bytes (its header says so), got 8',
    ])
    expect(wrong(length(1048577n))).toEqual(['', 'expected a header of at most 1048576 bytes, got 1048577'])
    // the largest that is allowed is only too long for this file
    expect(wrong(length(1048576n))).toEqual([
      '',
      'expected a file of at least 1048584 bytes (its header says so), got 8',
    ])
  })

  it('reads tensors in any order, and the largest shapes and headers that are allowed', () => {
    const parsed = parseSafetensors(
      file(
        {
          b: entry('I64', [1], [4, 12]),
          a: entry('F32', Array(8).fill(1), [0, 4]),
          none: entry('BOOL', [0], [12, 12]),
          scalar: entry('BF16', [], [12, 14]),
        },
        14,
      ),
    )
    if (!parsed.ok) throw new Error(parsed.message)
    const [{ start }] = parsed.tensors.filter(({ name }) => name === 'a')
    expect(parsed.metadata).toEqual({})
    expect(
      parsed.tensors.map(({ name, dtype, shape, start: from, end }) => [
        name,
        dtype,
        shape,
        from - start,
        end - start,
      ]),
    ).toEqual([
      ['b', 'int64', [1], 4, 12],
      ['a', 'float32', Array(8).fill(1), 0, 4],
      ['none', 'bool', [0], 12, 12],
      ['scalar', 'bfloat16', [], 12, 14],
    ])
  })

  it('writes pictures as bytes, and each tensor behind the one before', () => {
    const header = Buffer.from(
      safetensorsHeader(
        [
          { name: 'x', dtype: 'float64', shape: [2] },
          { name: 'picture', dtype: 'uint8', shape: [3] },
          { name: 'y', dtype: 'float16', shape: [] },
        ],
        { note: 'n' },
      ),
    )
    const length = Number(header.readBigUInt64LE())
    expect(length).toBe(header.length - 8)
    expect(JSON.parse(header.subarray(8).toString())).toEqual({
      __metadata__: { note: 'n' },
      x: { dtype: 'F64', shape: [2], data_offsets: [0, 16] },
      picture: { dtype: 'U8', shape: [3], data_offsets: [16, 19] },
      y: { dtype: 'F16', shape: [], data_offsets: [19, 21] },
    })
    expect(header.subarray(8).toString()).toMatch(/}\s{0,7}$/)
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
