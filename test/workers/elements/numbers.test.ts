import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeTensor, decodeUnits } from '../../../workers/elements/decode.ts'
import { encodeSlotBytes, encodeTensor, encodeUnits } from '../../../workers/elements/encode.ts'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../../workers/elements/float16.ts'
import { scanJson } from '../../../workers/elements/json-scan.ts'
import { NumberReader } from '../../../workers/elements/parse-number.ts'
import { printFloat32, printFloat64, shortest } from '../../../workers/elements/print.ts'
import type { DecodeArgs, EncodeArgs } from '../../../workers/task.ts'

const words = new DataView(new ArrayBuffer(8))
const anyDouble = fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)).map(([high, low]) => {
  words.setUint32(0, high)
  words.setUint32(4, low)
  return words.getFloat64(0)
})
const anySingle = fc.nat(0xffffffff).map(bits => {
  words.setUint32(0, bits)
  return words.getFloat32(0)
})
const shared = (text: string | Uint8Array): Uint8Array => {
  const bytes = Buffer.from(text as string)
  const view = new Uint8Array(new SharedArrayBuffer(bytes.length))
  view.set(bytes)
  return view
}

describe('reading numbers', () => {
  const reads = (text: string) => {
    const reader = new NumberReader(shared(`${text},`))
    const value = reader.read(0)
    expect(value, text).toBe(Number(text))
    expect(reader.at).toBe(text.length)
  }

  it('gives the nearest double, for doubles as they are printed', () => {
    fc.assert(
      fc.property(anyDouble.filter(Number.isFinite), x => reads(JSON.stringify(x))),
      { numRuns: 5000 },
    )
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), x => reads(JSON.stringify(x))),
      { numRuns: 5000 },
    )
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), fc.integer({ min: 1, max: 21 }), (x, n) =>
        reads(x.toPrecision(n).replace('+', '')),
      ),
      { numRuns: 5000 },
    )
  })

  it('also right between two doubles', () => {
    const middles = fc.tuple(
      fc.bigInt({ min: 2n ** 52n, max: 2n ** 53n - 1n }),
      fc.integer({ min: 1, max: 9 }),
    )
    fc.assert(
      fc.property(middles, ([significand, power]) => {
        const digits = ((2n * significand + 1n) * 5n ** BigInt(power)).toString().padStart(power + 1, '0')
        reads(`${digits.slice(0, -power)}.${digits.slice(-power)}`)
      }),
      { numRuns: 5000 },
    )
  })

  it.each([
    '0',
    '-0',
    '0.0',
    '-0.0e5',
    '1e400',
    '-1e400',
    '5e-324',
    '2.4703282292062327e-324',
    '1e-400',
    '123456789012345678901234567890',
    '0.1e-400',
    '9007199254740993',
    '9007199254740993.0000000000000000000000001',
    '1E+2',
    '1e0022',
  ])('%s', reads)
})

describe('printing numbers', () => {
  const print = (f: (x: number, into: Uint8Array, at: number) => number, x: number) => {
    const into = new Uint8Array(64)
    return Buffer.from(into.subarray(3, f(x, into, 3))).toString()
  }

  it('float32: reads back, and no shorter text would', () => {
    const check = (x: number) => {
      const text = print(printFloat32, x)
      if (!Number.isFinite(x)) {
        expect(text).toBe(JSON.stringify(String(x)))
        return
      }
      expect(text.length).toBeLessThanOrEqual(15)
      const value = JSON.parse(text)
      expect(Object.is(Math.fround(value), x), `${text} for ${x}`).toBe(true)
      const digits = text.replace(/e.*/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
      if (Number.isInteger(x) || digits <= 1) return
      expect(Math.fround(Number(x.toPrecision(digits - 1))), `${text} could be shorter`).not.toBe(x)
    }
    fc.assert(fc.property(anySingle, check), { numRuns: 20_000 })
    fc.assert(fc.property(fc.float({ min: -100, max: 100, noNaN: true }), check), { numRuns: 20_000 })
    for (let e = -149; e <= 127; e++) for (const sign of [1, -1]) check(sign * 2 ** e)
    for (let e = -45; e <= 38; e++)
      for (const f of [1, 1.5, 9.999999, 9.9999995]) check(Math.fround(f * 10 ** e))
  })

  it.each([
    [0.1, '0.1'],
    [1, '1'],
    [-0, '-0'],
    [16777216, '16777216'],
    [1e21, '1e+21'],
    [1e-7, '1e-7'],
    [0.001, '0.001'],
    [123456.7, '123456.7'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1.401298464324817e-45, '1e-45'],
  ])('%d is %s', (x, text) => {
    expect(print(printFloat32, Math.fround(x))).toBe(text)
    if (!Object.is(x, -0)) expect(String(Number(shortest(Math.fround(x))))).toBe(String(Number(text)))
  })

  it('float64 as JavaScript does', () => {
    fc.assert(
      fc.property(anyDouble, x => {
        const text = Object.is(x, -0) ? '-0' : Number.isFinite(x) ? JSON.stringify(x) : `"${x}"`
        expect(print(printFloat64, x)).toBe(text)
      }),
    )
  })
})

describe('half precision', () => {
  it('float16 by every bit pattern', () => {
    for (let word = 0; word < 65536; word++) {
      const value = fromFloat16(word)
      words.setUint16(0, word)
      expect(Object.is(value, words.getFloat16(0))).toBe(true)
      if (!Number.isNaN(value)) expect(toFloat16(value)).toBe(word)
    }
  })

  it('bfloat16: every pattern, and rounding to nearest even from doubles', () => {
    for (let word = 0; word < 65536; word++) {
      const value = fromBfloat16(word)
      if (Number.isNaN(value)) expect(fromBfloat16(toBfloat16(value))).toBeNaN()
      else expect(toBfloat16(value)).toBe(word)
    }
    fc.assert(
      fc.property(fc.nat(0x7f7e), fc.double({ min: 0, max: 1, noNaN: true }), (word, part) => {
        const [low, high] = [fromBfloat16(word), fromBfloat16(word + 1)]
        const x = low + part * (high - low)
        const middle = low + (high - low) / 2
        const expected = x === middle ? word + (word & 1) : x < middle ? word : word + 1
        expect(toBfloat16(x)).toBe(expected)
        expect(toBfloat16(-x)).toBe(expected | 0x8000)
      }),
      { numRuns: 5000 },
    )
    const middle = (fromBfloat16(0x3f80) + fromBfloat16(0x3f81)) / 2
    expect(toBfloat16(middle)).toBe(0x3f80)
    // nearer to the upper one by less than a float32 can tell
    expect(toBfloat16(middle * (1 + 2 ** -40))).toBe(0x3f81)
    expect(toBfloat16(3.4e38)).toBe(0x7f80)
  })
})

const args = (more: Partial<DecodeArgs>): DecodeArgs => ({
  form: 'raw',
  start: 0,
  end: 0,
  dtype: 'float32',
  count: 0,
  marks: [],
  escaped: false,
  rejectNonFinite: true,
  allowNegativeInfinity: false,
  ...more,
})

describe('decodeTensor', () => {
  const cuts = fc.array(fc.nat(3), { maxLength: 4 })
  const inPieces = (a: DecodeArgs, list: number[], run: (from: number, to: number) => void) => {
    const units = decodeUnits(a)
    const points = [...new Set([0, ...list.map(cut => cut % (units + 1)), units])].toSorted((x, y) => x - y)
    for (let i = 0; i + 1 < points.length; i++) run(points[i], points[i + 1])
  }

  it('reads JSON as JSON.parse does, in any pieces', () => {
    fc.assert(
      fc.property(
        fc.array(anyDouble.filter(Number.isFinite), { maxLength: 40 }),
        fc.boolean(),
        (numbers, pretty) => {
          const text = JSON.stringify(numbers, null, pretty ? 1 : 0)
          const body = shared(text)
          const scan = scanJson(body)
          if (!scan.ok || scan.spans[0].kind !== 'numbers') throw new Error(text)
          const into = new Float64Array(numbers.length).fill(7)
          const a = args({
            form: 'json',
            dtype: 'float64',
            end: body.length,
            count: numbers.length,
            marks: scan.spans[0].marks,
          })
          expect(decodeTensor({ body, into }, a, 0, decodeUnits(a))).toBeUndefined()
          expect(Array.from(into)).toEqual(JSON.parse(text))
        },
      ),
    )
    const many = Array.from({ length: 200_000 }, (_, i) => i / 7)
    const body = shared(JSON.stringify(many))
    const scan = scanJson(body)
    if (!scan.ok || scan.spans[0].kind !== 'numbers') throw new Error()
    const a = args({
      form: 'json',
      dtype: 'float64',
      end: body.length,
      count: many.length,
      marks: scan.spans[0].marks,
    })
    fc.assert(
      fc.property(cuts, list => {
        const into = new Float64Array(many.length)
        inPieces(a, list, (from, to) => expect(decodeTensor({ body, into }, a, from, to)).toBeUndefined())
        expect(into).toEqual(Float64Array.from(many))
      }),
      { numRuns: 10 },
    )
  })

  it('base64 and raw bytes of every type, at any alignment, in any pieces', () => {
    const count = 100_000
    const data = Float32Array.from({ length: count }, (_, i) => Math.round(64 * Math.sin(i)) / 8)
    const writers = {
      float64: (view: DataView, i: number) => view.setFloat64(8 * i, data[i], true),
      float32: (view: DataView, i: number) => view.setFloat32(4 * i, data[i], true),
      float16: (view: DataView, i: number) => view.setFloat16(2 * i, data[i], true),
      bfloat16: (view: DataView, i: number) => view.setUint16(2 * i, toBfloat16(data[i]), true),
    }
    const sizes = { float64: 8, float32: 4, float16: 2, bfloat16: 2 }
    fc.assert(
      fc.property(
        fc.constantFrom('float64' as const, 'float32' as const, 'float16' as const, 'bfloat16' as const),
        fc.nat(7),
        fc.boolean(),
        cuts,
        (dtype, start, single, list) => {
          const view = new DataView(new ArrayBuffer(count * sizes[dtype]))
          for (let i = 0; i < count; i++) writers[dtype](view, i)
          const raw = Buffer.from(view.buffer)
          const expected = single ? data : Float64Array.from(data)
          const into = () => (single ? new Float32Array(count) : new Float64Array(count))
          const fromRaw = into()
          const a = args({ dtype, count, start, end: start + raw.length })
          const body = shared(Buffer.concat([Buffer.alloc(start), raw]))
          inPieces(a, list, (from, to) =>
            expect(decodeTensor({ body, into: fromRaw }, a, from, to)).toBeUndefined(),
          )
          expect(fromRaw).toEqual(expected)
          const text = raw.toString('base64')
          const fromText = into()
          const b = args({ form: 'base64', dtype, count, start, end: start + text.length })
          const textBody = shared(' '.repeat(start) + text)
          inPieces(b, list, (from, to) =>
            expect(decodeTensor({ body: textBody, into: fromText }, b, from, to)).toBeUndefined(),
          )
          expect(fromText).toEqual(expected)
        },
      ),
      { numRuns: 16 },
    )
  })

  const json = (
    text: string,
    more: Partial<DecodeArgs>,
    into: Float32Array | Float64Array | Int32Array | Uint8Array = new Float32Array(3),
  ) => {
    const body = shared(text)
    const a = args({ form: 'json', dtype: 'float64', end: body.length, count: 3, marks: [0, 0], ...more })
    const seen = new Int32Array(1)
    return { fault: decodeTensor({ body, into, seen }, a, 0, 1), into: Array.from(into), seen: seen[0] }
  }

  it('names the first element that cannot be', () => {
    expect(json('[1,"NaN","Infinity"]', {}).fault).toEqual({ kind: 'non_finite', index: 1, found: '"NaN"' })
    expect(json('[1,2,1e39]', {}).fault).toEqual({ kind: 'overflow', index: 2, found: '1e39' })
    expect(json('[1,2,1e39]', {}, new Float64Array(3)).fault).toBeUndefined()
    expect(json('[1e400,2,3]', {}, new Float64Array(3)).fault).toEqual({
      kind: 'overflow',
      index: 0,
      found: '1e400',
    })
    expect(json('[1,"-Infinity",3]', { allowNegativeInfinity: true }).fault).toBeUndefined()
    expect(json('[1,-1e400,3]', { allowNegativeInfinity: true }).fault?.kind).toBe('overflow')
    expect(json('[1,2.5,3]', { dtype: 'int64' }, new Int32Array(3)).fault).toEqual({
      kind: 'bad_element',
      index: 1,
      found: '2.5',
    })
    expect(json('[1,2,3000000000]', { dtype: 'int64' }, new Int32Array(3)).fault?.index).toBe(2)
    expect(json('[1,0,2]', { dtype: 'bool' }, new Uint8Array(3)).fault?.index).toBe(2)
    expect(json('[true,false,true]', { dtype: 'bool' }, new Uint8Array(3)).into).toEqual([1, 0, 1])
  })

  it('tells of non-finite values that propagate', () => {
    expect(json('[1,"NaN",3]', { rejectNonFinite: false })).toMatchObject({
      fault: undefined,
      seen: 1,
      into: [1, Number.NaN, 3],
    })
    expect(json('[1,2,3]', { rejectNonFinite: false }).seen).toBe(0)
    expect(json('[1,"-Infinity",3]', { rejectNonFinite: false, allowNegativeInfinity: true }).seen).toBe(0)
    expect(json('[1e39,2,3]', { rejectNonFinite: false })).toMatchObject({ fault: undefined, seen: 1 })
  })

  it('refuses base64 that is not just right', () => {
    const right = Buffer.from(Float32Array.of(1, 2).buffer).toString('base64')
    const run = (text: string, escaped = false) => {
      const body = shared(text)
      return decodeTensor(
        { body, into: new Float32Array(2) },
        args({ form: 'base64', count: 2, end: body.length, escaped }),
        0,
        1,
      )
    }
    expect(run(right)).toBeUndefined()
    expect(run(right.replaceAll('/', '\\/'), true)).toBeUndefined()
    for (const wrong of [
      right.slice(1),
      `${right}A`,
      right.replace('=', ''),
      right.replace('A', ' '),
      right.replace('A', '-'),
      right.replace('A', '\n'),
      `${right.slice(0, -2)}B=`,
      '====',
      '',
      right.replace(/.=$/, 'h='),
    ]) {
      expect(run(wrong)?.kind, wrong).toBe('bad_base64')
    }
  })
})

describe('encodeTensor', () => {
  const encode = (values: Float32Array | Float64Array, more: Partial<EncodeArgs>) => {
    const a: EncodeArgs = {
      form: 'json',
      dtype: 'float32',
      shape: [values.length],
      count: values.length,
      firstUnit: 0,
      ...more,
    }
    const [units, slot] = [encodeUnits(a), encodeSlotBytes(a)]
    const [into, lengths] = [new Uint8Array(units * slot), new Int32Array(units)]
    for (let unit = units - 1; unit >= 0; unit--) encodeTensor({ values, into, lengths }, a, unit, unit + 1)
    return Buffer.concat(
      Array.from(lengths, (length, unit) => Buffer.from(into.subarray(unit * slot, unit * slot + length))),
    )
  }

  it('nested JSON of any shape', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 }), fc.boolean(), (shape, wide) => {
        const count = shape.reduce((product, extent) => product * extent, 1)
        const values = wide
          ? Float64Array.from({ length: count }, (_, i) => i / 3)
          : Float32Array.from({ length: count }, (_, i) => i / 4)
        const nest = ([extent, ...rest]: number[], at: number): unknown => {
          if (extent === undefined) return values[at]
          const size = rest.reduce((product, x) => product * x, 1)
          return Array.from({ length: extent }, (_, i) => nest(rest, at + i * size))
        }
        expect(encode(values, { shape, dtype: wide ? 'float64' : 'float32' }).toString()).toBe(
          JSON.stringify(nest(shape, 0)),
        )
      }),
    )
  })

  it('fits its slots at their fullest', () => {
    const values = new Float32Array(120_000).fill(-1.1754944e-38)
    const text = encode(values, { shape: [120_000, 1, 1, 1] }).toString()
    expect(JSON.parse(text).length).toBe(120_000)
    const wide = new Float64Array(60_000).fill(-2.2250738585072014e-308)
    expect(JSON.parse(encode(wide, { shape: [60_000, 1], dtype: 'float64' }).toString())[59_999][0]).toBe(
      -2.2250738585072014e-308,
    )
  })

  it('base64 and raw bytes', () => {
    const values = Float32Array.from({ length: 100_001 }, (_, i) => Math.sin(i))
    expect(encode(values, { form: 'raw' }).equals(Buffer.from(values.buffer))).toBe(true)
    expect(encode(values, { form: 'base64' }).toString()).toBe(Buffer.from(values.buffer).toString('base64'))
    const half = Buffer.from(Float16Array.from(values).buffer)
    expect(encode(values, { form: 'raw', dtype: 'float16' }).equals(half)).toBe(true)
    expect(encode(values, { form: 'base64', dtype: 'float64' }).toString()).toBe(
      Buffer.from(Float64Array.from(values).buffer).toString('base64'),
    )
  })

  it('float16 in JSON is rounded first', () => {
    expect(encode(Float32Array.of(0.1, 1), { dtype: 'float16' }).toString()).toBe(
      `[${shortest(Math.f16round(0.1))},1]`,
    )
  })
})
