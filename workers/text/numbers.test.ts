import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shortest } from '../../src/pipeline/encode.ts'
import {
  bytes,
  float32,
  float64,
  int32,
  kernels,
  scan,
  scan as scanJson,
  shared,
} from '../../test/support/text-memory.ts'
import type { DecodeArgs, EncodeArgs } from '../ops/text/op.ts'
import { decodeTensor, decodeUnits } from './decode.ts'
import { encodeSlotBytes, encodeTensor, encodeUnits } from './encode.ts'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './float16.ts'
import { nearestFloat32 } from './nearest-float32.ts'
import { printFloat64 } from './print.ts'

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

/** The number as numerator and denominator, exactly. */
function exact(text: string): [bigint, bigint] {
  const [, sign, whole, part = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = BigInt(`${sign}${whole}${part}`)
  const exponent = BigInt(power) - BigInt(part.length)
  return exponent < 0n ? [digits, 10n ** -exponent] : [digits * 10n ** exponent, 1n]
}

/** The float32 nearest to a text, ties to even, by comparing its distance from the three candidates around it. */
function nearestSingle(text: string): number {
  const [numerator, denominator] = exact(text)
  const start = Math.fround(Number(text))
  words.setFloat32(0, start)
  const bits = words.getUint32(0)
  const candidates = [bits - 1, bits, bits + 1].map(word => {
    words.setUint32(0, word >>> 0)
    const value = words.getFloat32(0)
    // as far as overflow is concerned, 2^128 follows the largest float32
    return { value, even: word % 2 === 0, real: Number.isFinite(value) ? value : Math.sign(value) * 2 ** 128 }
  })
  const distance = (x: number) => {
    // x is a multiple of 2^-149
    const scaled = BigInt(x * 2 ** 149)
    const difference = numerator * 2n ** 149n - scaled * denominator
    return difference < 0n ? -difference : difference
  }
  const sane = candidates.filter(({ value, real }) => !Number.isNaN(value) && Math.abs(real) <= 2 ** 128)
  return sane.reduce((best, each) => {
    const [a, b] = [distance(each.real), distance(best.real)]
    return a < b || (a === b && each.even) ? each : best
  }).value
}

describe('reading numbers', () => {
  /** Whether the text kernels knew the number themselves. */
  const reads = (text: string): boolean => {
    const bytes = shared(`${text},`)
    const value = kernels.readNumber(bytes.byteOffset)
    if (!Number.isNaN(value)) expect(value, text).toBe(Number(text))
    expect(kernels.after - bytes.byteOffset).toBe(text.length)
    expect(kernels.skipNumber(bytes.byteOffset) - bytes.byteOffset).toBe(text.length)
    return !Number.isNaN(value)
  }
  /** As elements of a tensor: of float64, of float32 by way of float64, of float32 directly. */
  const decodes = (list: string[]) => {
    const body = shared(`[${list.join(',')}]`)
    const a = args({
      form: 'json',
      end: body.length,
      count: list.length,
      marks: [0, 0],
      rejectNonFinite: false,
    })
    const [wide, single, direct] = [float64(list.length), float32(list.length), float32(list.length)]
    decodeTensor({ body, into: wide }, { ...a, dtype: 'float64' }, 0, 1, kernels)
    decodeTensor({ body, into: single }, { ...a, dtype: 'float64' }, 0, 1, kernels)
    decodeTensor({ body, into: direct }, { ...a, dtype: 'float32' }, 0, 1, kernels)
    for (const [index, text] of list.entries()) {
      expect(wide[index], text).toBe(Number(text))
      expect(single[index], text).toBe(Math.fround(Number(text)))
      expect(direct[index], text).toBe(nearestSingle(text))
    }
  }
  const moderate = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map(x => JSON.stringify(x))
  const digits = (least: number, most: number) =>
    fc.array(fc.integer({ min: 0, max: 9 }), { minLength: least, maxLength: most }).map(list => list.join(''))
  const written = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(digits(1, 3), digits(1, 25)),
      fc.option(fc.oneof(digits(1, 18), digits(1, 60))),
      fc.option(fc.integer({ min: -60, max: 60 })),
    )
    .map(([sign, whole, part, power]) => {
      const head = whole.replace(/^0+(?=\d)/, '')
      return `${sign}${head}${part === null ? '' : `.${part}`}${power === null ? '' : `e${power}`}`
    })

  it('gives the nearest double, for doubles as they are printed', () => {
    fc.assert(
      fc.property(anyDouble.filter(Number.isFinite), x => {
        const known = reads(JSON.stringify(x))
        // left to others: subnormal ones, the largest, and integers in the middle between two doubles
        const size = Math.abs(x)
        if (size > 1e-307 && size < 1e307 && !(size > 1e15 && size < 1e23)) expect(known).toBe(true)
      }),
      { numRuns: 20_000 },
    )
    fc.assert(
      fc.property(
        moderate.filter(text => !/e-\d{3}/.test(text)),
        reads,
      ),
      { numRuns: 20_000 },
    )
    fc.assert(
      fc.property(written, text => void reads(text)),
      { numRuns: 20_000 },
    )
  })

  it('elements of every type, in whatever form they are written', () => {
    const lists = fc.array(fc.oneof(moderate, written), { minLength: 1, maxLength: 60 })
    fc.assert(fc.property(lists, decodes), { numRuns: 2000 })
    const single = anySingle.filter(Number.isFinite).map(x => String(shortest(x)))
    const middle = anySingle
      .filter(x => Number.isFinite(x) && Math.abs(x) < 1e38)
      .map(x => {
        words.setFloat32(0, x)
        words.setUint32(0, words.getUint32(0) + 1)
        return (x + words.getFloat32(0)) / 2
      })
      .map(x => (Math.abs(x) < 1e21 && Math.abs(x) > 1e-6 ? x.toFixed(60).replace(/\.?0+$/, '') : String(x)))
    const nudged = fc
      .tuple(middle, fc.constantFrom('', '1', '0000001', `${'0'.repeat(800)}1`))
      .map(([text, more]) => (text.includes('e') || !text.includes('.') ? text : text + more))
    fc.assert(fc.property(fc.array(fc.oneof(single, nudged), { maxLength: 20 }), decodes), { numRuns: 1000 })
  })

  it('plain fractions of every length and size', () => {
    for (let zeros = 0; zeros < 30; zeros++) {
      for (let length = 1; length < 32 - zeros; length++) {
        const text = `${'0'.repeat(zeros)}${'97531246801357924680135792468013'.slice(0, length)}`
        decodes([`0.${text}`, `-9.${text}`, `0.${text}`])
      }
    }
    decodes(['0.00000000000000000000001', '-0.0', '0.0000000000000000', '0.00000000000000000'])
  })

  it('fractions that reach to the end of what is looked at, and go on with an exponent', () => {
    for (let length = 24; length <= 34; length++) {
      const text = '97531246801357924680135792468013579'.slice(0, length)
      for (const power of ['e0', 'e5', 'E-5', 'e+12'])
        decodes(['1', `0.${text}${power}`, `-9.${text}${power}`, '2'])
    }
  })

  it('also right between two doubles', () => {
    const middles = fc.tuple(
      fc.bigInt({ min: 2n ** 52n, max: 2n ** 53n - 1n }),
      fc.integer({ min: 0, max: 9 }),
      fc.constantFrom('', '0', '1', `${'0'.repeat(800)}1`),
    )
    fc.assert(
      fc.property(middles, ([significand, power, more]) => {
        const all = ((2n * significand + 1n) * 5n ** BigInt(power)).toString().padStart(power + 1, '0')
        const text = power === 0 ? all : `${all.slice(0, -power)}.${all.slice(-power)}${more}`
        reads(text)
        decodes([text])
      }),
      { numRuns: 3000 },
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
    '2.2250738585072011e-308',
    '2.2250738585072014e-308',
    '1.7976931348623157e308',
    '1.7976931348623159e308',
    '1e-400',
    '0e99999999999999999999',
    '1e-99999999999999999999',
    '123456789012345678901234567890',
    '0.1e-400',
    '9007199254740993',
    '9007199254740993.0000000000000000000000001',
    '18446744073709551615',
    '18446744073709551616',
    '1E+2',
    '1e0022',
    '1.00000005960464477539062500000',
    '1.00000005960464477539062500001',
    '3.4028235677973366e38',
    '340282356779733661637539395458142568447.9',
    '340282356779733661637539395458142568448',
    '7.006492321624085e-46',
    '7.0064923216240853e-46',
    '7.0064923216240854e-46',
    '0.00000000000000000000000000000000000001175494350822287507968736537222245677818665556772087521508751706278417259454727172851560500000000000000000',
    `0.${'0'.repeat(500)}1e500`,
    `${'1'.repeat(800)}e-800`,
    `1.${'0'.repeat(900)}1`,
  ])('%s', text => {
    reads(text)
    const wide = float64(1)
    const body = shared(`[${text}]`)
    const a = args({ form: 'json', dtype: 'float64', end: body.length, count: 1, marks: [0, 0] })
    decodeTensor({ body, into: wide }, { ...a, rejectNonFinite: false }, 0, 1, kernels)
    expect(wide[0]).toBe(Number(text))
    if (!/e-?\d{5}/.test(text)) expect(nearestFloat32(text)).toBe(nearestSingle(text))
  })
})

describe('printing numbers', () => {
  const print = (x: number) => {
    const into = bytes(64)
    const end = kernels.printFloat32(x, into.byteOffset + 3) - into.byteOffset
    return Buffer.from(into.subarray(3, end)).toString()
  }

  it('float32: reads back, and no shorter text would, nor one that is nearer', () => {
    const check = (x: number) => {
      const text = print(x)
      if (!Number.isFinite(x)) {
        expect(text).toBe(JSON.stringify(String(x)))
        return
      }
      expect(text.length).toBeLessThanOrEqual(15)
      const value = JSON.parse(text)
      expect(Object.is(Math.fround(value), x), `${text} for ${x}`).toBe(true)
      expect(nearestFloat32(text)).toBe(x)
      const digits = text.replace(/e.*/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
      if (Number.isInteger(x) || digits < 1) return
      const nearest = Number(x.toPrecision(digits))
      if (Math.fround(nearest) === x)
        expect(Math.abs(value - x), text).toBeLessThanOrEqual(Math.abs(nearest - x) * (1 + 1e-6))
      if (digits > 1)
        expect(Math.fround(Number(x.toPrecision(digits - 1))), `${text} could be shorter`).not.toBe(x)
    }
    fc.assert(fc.property(anySingle, check), { numRuns: 20_000 })
    fc.assert(fc.property(fc.float({ min: -100, max: 100, noNaN: true }), check), { numRuns: 20_000 })
    for (let e = -149; e <= 127; e++) for (const sign of [1, -1]) check(sign * 2 ** e)
    for (let word = 0; word < 2000; word++) {
      for (const base of [0, 0x007ffc00, 0x7f7ff800, 0x3f7ffc00]) {
        words.setUint32(0, Math.min(base + word, 0x7f7fffff))
        check(words.getFloat32(0))
      }
    }
    for (let e = -45; e <= 38; e++)
      for (const f of [1, 1.5, 9.999999, 9.9999995]) check(Math.fround(f * 10 ** e))
  })

  it.each([
    [0.1, '0.1'],
    [1, '1'],
    [-0, '-0'],
    [16777216, '16777216'],
    [123456789, '123456790'],
    [9999999999, '1e+10'],
    [1e21, '1e+21'],
    [1e-7, '1e-7'],
    [0.001, '0.001'],
    [0.0001, '0.0001'],
    [0.00012345678, '0.00012345678'],
    [0.00001, '1e-5'],
    [123456.7, '123456.7'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1.401298464324817e-45, '1e-45'],
  ])('%d is %s', (x, text) => {
    expect(print(Math.fround(x))).toBe(text)
    if (!Object.is(x, -0)) expect(shortest(Math.fround(x))).toBe(Number(text))
  })

  it('float64 as JavaScript does', () => {
    fc.assert(
      fc.property(anyDouble, x => {
        const into = new Uint8Array(64)
        const text = Object.is(x, -0) ? '-0' : Number.isFinite(x) ? JSON.stringify(x) : `"${x}"`
        expect(Buffer.from(into.subarray(3, printFloat64(x, into, 3))).toString()).toBe(text)
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
          const into = float64(numbers.length).fill(7)
          const a = args({
            form: 'json',
            dtype: 'float64',
            end: body.length,
            count: numbers.length,
            marks: scan.spans[0].marks,
          })
          expect(decodeTensor({ body, into }, a, 0, decodeUnits(a), kernels)).toBeUndefined()
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
        const into = float64(many.length)
        inPieces(a, list, (from, to) =>
          expect(decodeTensor({ body, into }, a, from, to, kernels)).toBeUndefined(),
        )
        expect(Array.from(into)).toEqual(many)
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
            expect(decodeTensor({ body, into: fromRaw }, a, from, to, kernels)).toBeUndefined(),
          )
          expect(fromRaw).toEqual(expected)
          const text = raw.toString('base64')
          const fromText = into()
          const b = args({ form: 'base64', dtype, count, start, end: start + text.length })
          const textBody = shared(' '.repeat(start) + text)
          inPieces(b, list, (from, to) =>
            expect(decodeTensor({ body: textBody, into: fromText }, b, from, to, kernels)).toBeUndefined(),
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
    into: Float32Array | Float64Array | Int32Array | Uint8Array = float32(3),
  ) => {
    const body = shared(text)
    const a = args({ form: 'json', dtype: 'float64', end: body.length, count: 3, marks: [0, 0], ...more })
    const seen = new Int32Array(1)
    return {
      fault: decodeTensor({ body, into, seen }, a, 0, 1, kernels),
      into: Array.from(into),
      seen: seen[0],
    }
  }

  it('names the first element that cannot be', () => {
    expect(json('[1,"NaN","Infinity"]', {}).fault).toEqual({ kind: 'non_finite', index: 1, found: '"NaN"' })
    expect(json('[1,2,1e39]', {}).fault).toEqual({ kind: 'overflow', index: 2, found: '1e39' })
    expect(json('[1,2,1e39]', {}, float64(3)).fault).toBeUndefined()
    expect(json('[1e400,2,3]', {}, float64(3)).fault).toEqual({
      kind: 'overflow',
      index: 0,
      found: '1e400',
    })
    expect(json('[1,"-Infinity",3]', { allowNegativeInfinity: true }).fault).toBeUndefined()
    expect(json('[1,-1e400,3]', { allowNegativeInfinity: true }).fault?.kind).toBe('overflow')
    expect(json('[1,2.5,3]', { dtype: 'int64' }, int32(3)).fault).toEqual({
      kind: 'bad_element',
      index: 1,
      found: '2.5',
    })
    expect(json('[1,2,3000000000]', { dtype: 'int64' }, int32(3)).fault?.index).toBe(2)
    expect(json('[1,0,2]', { dtype: 'bool' }, bytes(3)).fault?.index).toBe(2)
    expect(json('[true,false,true]', { dtype: 'bool' }, bytes(3)).into).toEqual([1, 0, 1])
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
        kernels,
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

describe('base64 whose text has escapes', () => {
  /** JSON may write any character as an escape: the scan knows where reading may begin. */
  const escapedText = (text: string, every: number) =>
    text.replaceAll(/./g, (one, at: number) => {
      if (one === '/') return '\\/'
      return at % every === 3 ? `\\u00${one.charCodeAt(0).toString(16)}` : one
    })

  it.each([[1], [2], [7], [1000], [100_000]])('is read from marks, unit by unit, every %i-th one', every => {
    const values = Float32Array.from({ length: 150_001 }, (_, index) => Math.sin(index))
    const text = escapedText(Buffer.from(values.buffer).toString('base64'), every)
    const body = shared(`{"base64":"${text}"}`)
    const found = scan(body)
    if (!found.ok || found.spans[0].kind !== 'text') throw new Error('no text')
    const { start, end, marks, characters, escaped } = found.spans[0]
    expect(characters).toBe(800_008)
    const into = new Float32Array(values.length)
    const a = args({ form: 'base64', start, end, count: values.length, marks, escaped })
    expect(decodeUnits(a)).toBe(4)
    // in any order, by anybody
    for (const unit of [2, 0, 3, 1])
      expect(decodeTensor({ body, into }, a, unit, unit + 1, kernels)).toBeUndefined()
    expect(into).toEqual(values)
  })

  it.each([['\\u0100'], ['\\n'], ['\\b'], ['\\"'], ['\\\\'], ['\\u000a'], ['\\u00e9'], ['\\ud83d']])(
    'is refused where %s stands in it',
    one => {
      const body = shared(`${one}AAA`)
      const a = args({ form: 'base64', count: 3, end: body.length, escaped: true, dtype: 'bool' })
      expect(decodeTensor({ body, into: new Float32Array(3) }, a, 0, 1, kernels)).toMatchObject({
        kind: 'bad_base64',
        found: '4 characters that are not the base64 of 3 bytes',
      })
    },
  )
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
    const [into, lengths] = [bytes(units * slot), new Int32Array(units)]
    const stored = values instanceof Float32Array ? float32(values.length) : float64(values.length)
    stored.set(values)
    // from the last to the first: none may touch what stands in the next one's slot
    for (let unit = units - 1; unit >= 0; unit--)
      encodeTensor({ values: stored, into, lengths }, a, unit, unit + 1, kernels)
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
