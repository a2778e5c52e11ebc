import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { kernels, scan as scanJson, shared, WORK } from '../../test/support/text-memory.ts'
import { scanPiece, scanJson as scanWith } from './json-scan.ts'
import { expandNumbers, type JsonScan, type PausedScan } from './json-spans.ts'

/** The scan with everything it located read back in its place; throws where the scan has a fault. */
function read(text: string | Buffer, run: (bytes: Uint8Array) => JsonScan = scanJson): unknown {
  const bytes = shared(text)
  const scan = run(bytes)
  if (!scan.ok) throw new Error(scan.fault.message)
  const back = (value: unknown): unknown => {
    if (typeof value === 'bigint') {
      const span = scan.spans[Number(value)]
      if (span.kind === 'numbers') return expandNumbers(bytes, span)
      return JSON.parse(
        Buffer.from(bytes)
          .subarray(span.start - 1, span.end + 1)
          .toString(),
      )
    }
    if (Array.isArray(value)) return value.map(back)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, back(member)]))
  }
  return back(scan.value)
}

/** Objects, strings, numbers, and arrays that are either all numbers of one shape or hold anything else. */
const { tree } = fc.letrec<{ tree: unknown }>(tie => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 2, maxLength: 2 }), {
      minLength: 1,
    }),
    fc.array(fc.boolean()),
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map(list => ['text', ...list]),
    fc.dictionary(
      fc.string({ unit: 'binary' }).filter(key => key !== '__proto__'),
      tie('tree'),
      { maxKeys: 4 },
    ),
  ),
}))

describe('scanJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(tree, fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(read(text)).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  /** As another thread would: every piece begins anew, with nothing but what has been cloned. */
  const inPieces =
    (piece: number) =>
    (bytes: Uint8Array): JsonScan => {
      let resume: PausedScan | undefined
      for (;;) {
        const scan = scanPiece(kernels, bytes, { work: WORK, piece, ...(resume && { resume }) })
        if (!('paused' in scan)) return scan
        expect(scan.paused.at).toBeGreaterThan(resume?.at ?? 0)
        resume = structuredClone(scan.paused)
      }
    }

  it('finds the same in pieces, whatever their size', () => {
    const long = fc.constantFrom('x'.repeat(3000), '\\"'.repeat(900), 'a'.repeat(1023))
    const numbers = fc.array(
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 3 }),
      { minLength: 1, maxLength: 60 },
    )
    const bodies = fc.record({ a: tree, base64: long, k: numbers, q: numbers, text: long, z: tree })
    fc.assert(
      fc.property(
        bodies,
        fc.constantFrom(0, 1),
        fc.integer({ min: 1, max: 4000 }),
        (value, indent, piece) => {
          const bytes = shared(JSON.stringify(value, null, indent))
          expect(inPieces(piece)(bytes)).toEqual(scanJson(bytes))
          expect(read(JSON.stringify(value, null, indent), inPieces(piece))).toEqual(
            JSON.parse(JSON.stringify(value)),
          )
        },
      ),
      { numRuns: 300 },
    )
  })

  it('finds the same faults in pieces', () => {
    const rows = (last: string) =>
      `{"base64":"${'x'.repeat(2000)}","q":[${'[1.5,-2,3e4],'.repeat(500)}${last}]}`
    for (const last of [
      '[1,2]',
      '[1,2,3',
      '[1,2,"x"]',
      '[true,2,3]',
      '[1,[2],3]',
      '[1,,3]',
      '[]',
      '[1,2.,3]',
      '',
    ]) {
      const bytes = shared(rows(last))
      const whole = scanJson(bytes)
      expect(whole.ok).toBe(false)
      for (const piece of [7, 100, 1999, 5000]) expect(inPieces(piece)(bytes)).toEqual(whole)
    }
    const unclosed = shared(`["a",${'"\\u0041",'.repeat(50)}"${'y'.repeat(5000)}`)
    expect(inPieces(33)(unclosed)).toEqual(scanJson(unclosed))
  })

  it('refuses what JSON.parse refuses, and nothing else that is regular', () => {
    const edits = fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom(
          '',
          '[',
          ']',
          '{',
          '}',
          ',',
          ':',
          '"',
          '0',
          '-',
          '.',
          'e',
          '\\',
          't',
          ' ',
          '\n',
          '\u0001',
        ),
      ),
      { minLength: 1, maxLength: 3 },
    )
    let accepted = 0
    fc.assert(
      fc.property(tree, edits, (value, list) => {
        let text = JSON.stringify(value)
        for (const [at, piece] of list)
          text =
            text.slice(0, at % (text.length + 1)) + piece + text.slice((at % (text.length + 1)) + (at % 2))
        let valid = true
        try {
          JSON.parse(text)
        } catch {
          valid = false
        }
        const scan = scanJson(shared(text))
        // valid JSON may still be refused, but only for what it means: a pointer says where
        if (scan.ok) {
          accepted++
          expect(valid, text).toBe(true)
        } else if (valid) {
          expect(
            scan.fault.tensor || /got two|more|got null|got an? /.test(scan.fault.message),
            `${text}: ${scan.fault.message}`,
          ).toBe(true)
        }
      }),
      { numRuns: 3000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })

  it.each([
    '01',
    '+1',
    '.5',
    '1.',
    '-',
    '1e',
    '1e+',
    '0x1',
    'NaN',
    '[NaN]',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
    '"\n"',
    '"\\x"',
    '"\\u12g4"',
    '"',
    '[',
    '{',
    '',
    ' ',
    '\ufeff1',
    'nul',
    'truex',
    '[1]]',
    '1 2',
    '[1]\0',
    '{"a"}',
    '["a":1]',
    '[[1],[2]',
    '[true,fals]',
  ])('refuses %j', text => {
    expect(scanJson(shared(text)).ok).toBe(false)
  })

  it('reads numbers as long as what it looks at, whatever follows them', () => {
    for (let digits = 24; digits <= 34; digits++) {
      for (const sign of ['', '-']) {
        const number = `${sign}0.${'3'.repeat(digits)}`
        for (const text of [
          `[1,${number}]`,
          `[1,${number},2]`,
          `[1,${number}e5]`,
          `[1,${number}E-5,2]`,
          `[1,${number} ]`,
          `[1,${number}\n,2]`,
          `[[1],[${number}]]`,
        ]) {
          expect(read(text), text).toEqual(JSON.parse(text))
          const scan = scanJson(shared(text))
          expect(scan.ok && scan.spans[0], text).toMatchObject({ count: JSON.parse(text).length })
        }
        for (const text of [`[1,${number}x]`, `[1,${number} 2]`, `[1,${number}[`, `[1,${number}"`])
          expect(scanJson(shared(text)).ok, text).toBe(false)
      }
    }
  })

  it('refuses bytes that are no UTF-8', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xc3, 0x28, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
    ]) {
      expect(scanJson(shared(Buffer.from(bytes))).ok).toBe(false)
    }
    expect(read('"\ufffd\u{1f600}"')).toBe('\ufffd\u{1f600}')
  })

  it('locates numbers, with marks from which reading can begin', () => {
    const rows = Array.from({ length: 50_000 }, (_, i) => [i, -i / 3, 1e-9 * i])
    const text = JSON.stringify({ x: rows })
    const bytes = shared(text)
    const scan = scanJson(bytes)
    if (!scan.ok) throw new Error()
    const [span] = scan.spans
    if (span.kind !== 'numbers') throw new Error()
    expect(span).toMatchObject({ shape: [50_000, 3], count: 150_000, element: 'number' })
    expect(span.marks.length / 2).toBe(3)
    const flat = rows.flat()
    for (let mark = 0; mark < span.marks.length; mark += 2) {
      const from = text.slice(span.marks[mark]).match(/-?\d[\d.e+-]*/)?.[0]
      expect(Number(from)).toBe(flat[span.marks[mark + 1]])
    }
  })

  it('names the place of what is irregular', () => {
    const pointer = (text: string) => {
      const scan = scanJson(shared(text))
      return scan.ok ? undefined : [scan.fault.pointer, scan.fault.tensor]
    }
    expect(pointer('{"a/b":{"k":[[1,2],[3]]}}')).toEqual(['/a~1b/k/1', true])
    expect(pointer('[["x"],[[1,2],[3,"no"]]]')).toEqual(['/1/1/1', true])
    expect(pointer('{"k":[[[1]],[2]]}')).toEqual(['/k/1/0', true])
    expect(pointer('{"k":[1,[2]]}')).toEqual(['/k/1', true])
    expect(pointer('{"k":[[],[1]]}')).toEqual(['/k/1', true])
  })

  it('stays small on large bodies of nothing', () => {
    const before = process.memoryUsage().heapUsed
    const empty = scanJson(shared(`[${'[],'.repeat(2_000_000)}[]]`))
    expect(empty.ok && empty.spans[0]).toMatchObject({ shape: [2_000_001, 0], count: 0 })
    expect(scanJson(shared(`[${'{},'.repeat(2_000_000)}{}]`)).ok).toBe(false)
    expect(scanJson(shared(`{"a":[${'"x",'.repeat(2_000_000)}"x"]}`)).ok).toBe(false)
    expect(scanJson(shared(`{"${'k'.repeat(5000)}":1}`)).ok).toBe(false)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 << 20)
  })

  describe('says what is wrong, and at which byte', () => {
    const fault = (text: string | Buffer) => {
      const scan = scanJson(shared(text))
      if (scan.ok) throw new Error('was read')
      const { message, position, pointer, tensor } = scan.fault
      return [message, position, pointer, tensor]
    }

    it.each<[text: string, message: string, position: number]>([
      ['{"a":1} x', 'expected the end of the body, got "x"', 8],
      ['  ', 'expected a JSON value, got the end', 2],
      ['[ tru]', 'expected a number, got "t"', 2],
      ['["a",nul]', 'expected a JSON value, got "n"', 5],
      ['{"a":fals}', 'expected a JSON value, got "f"', 5],
      ['{"a":\u0001}', 'expected a JSON value, got byte 0x1', 5],
      ['{ a:1}', 'expected a key in quotes, got "a"', 2],
      ['{"a":1, }', 'expected a key in quotes, got "}"', 8],
      ['{"a" 1}', 'expected ":", got "1"', 5],
      ['{"a":1 "b":2}', 'expected "," or "}", got "\\""', 7],
      ['{"a":"b"', 'expected "," or "}", got the end', 8],
      ['["a" "b"]', 'expected "," or "]", got "\\""', 5],
      ['["a","b"}', 'expected "," or "]", got "}"', 8],
      ['-', 'expected a digit, got the end', 1],
      ['{"a":-x}', 'expected a digit, got "x"', 6],
      ['{"a":1.}', 'expected a digit, got "}"', 7],
      ['"abc', 'expected a closing quote, got the end', 4],
      ['"a\u0007c"', 'expected a character, escaped where it is a control, got byte 0x7', 2],
      ['{"abc', 'expected a closing quote, got the end', 5],
      ['{"a\tc":1}', 'expected a character, escaped where it is a control, got byte 0x9', 3],
      ['["a","\\x"]', 'expected a string with valid escapes, got "\\\\"', 6],
      ['{"a":"\\u12g4"}', 'expected a string with valid escapes, got "\\\\"', 6],
      ['{"\\q":1}', 'expected a string with valid escapes, got "\\\\"', 2],
    ])('%j', (text, message, position) => {
      expect(fault(text)).toEqual([message, position, '', false])
    })

    it('where bytes are no UTF-8', () => {
      expect(fault(Buffer.from([0x5b, 0x22, 0x61, 0xff, 0x22, 0x5d]))).toEqual([
        'expected UTF-8, got "a"',
        2,
        '',
        false,
      ])
    })

    it('where a key stands twice, whatever stands between', () => {
      const text = '{"q":[1,2],"a":[{"b":"x"},{"b":[[3]],"c":1,"b":2}]}'
      expect(fault(text)).toEqual(['expected one "b", got two', text.lastIndexOf('"b"') + 3, '/a/1/b', false])
    })

    it('where a tensor is none', () => {
      expect(fault('{"a":["x"],"b":{"q":[[1,2],[3,true]]}}')).toEqual([
        'expected a number, got a boolean',
        expect.any(Number),
        '/b/q/1/1',
        true,
      ])
    })
  })

  describe('bounds what it reads beside tensors', () => {
    const faultOf = (text: string) => {
      const scan = scanJson(shared(text))
      return scan.ok ? undefined : [scan.fault.message, scan.fault.pointer]
    }

    it('to 64 levels', () => {
      const lists = (levels: number) => `${'['.repeat(levels)}"x"${']'.repeat(levels)}`
      const objects = (levels: number) => `${'{"a":'.repeat(levels)}"x"${'}'.repeat(levels)}`
      const more = 'expected at most 64 levels, got more'
      expect(faultOf(lists(64))).toBeUndefined()
      expect(faultOf(lists(65))).toEqual([more, '/0'.repeat(64)])
      expect(faultOf(objects(64))).toBeUndefined()
      expect(faultOf(objects(65))).toEqual([more, '/a'.repeat(64)])
      expect(faultOf(`${'{"a":'.repeat(64)}7${'}'.repeat(64)}`)).toBeUndefined()
    })

    it('to 100,000 values', () => {
      const list = (values: number) => `[${Array(values - 1).fill('""')}]`
      expect(faultOf(list(100_000))).toBeUndefined()
      expect(faultOf(list(100_001))).toEqual([
        'expected at most 100000 values beside tensors, got more',
        '/99999',
      ])
    })

    it('to a mebibyte of short strings and keys', () => {
      const strings = (bytes: number) => [
        ...Array(bytes >> 10).fill('x'.repeat(1024)),
        'x'.repeat(bytes % 1024),
      ]
      const most = 1 << 20
      expect(faultOf(JSON.stringify(strings(most)))).toBeUndefined()
      expect(faultOf(JSON.stringify(strings(most + 1)))).toEqual([
        'expected at most 1048576 bytes of keys and strings, got more',
        '/1024',
      ])
      expect(faultOf(JSON.stringify({ ab: strings(most - 2) }))).toBeUndefined()
      expect(faultOf(JSON.stringify({ ab: strings(most - 1) }))?.[1]).toBe('/ab/1023')
    })

    it('to keys of 1024 bytes', () => {
      const named = (bytes: number) => `{"a":{"${'k'.repeat(bytes)}":1}}`
      expect(read(named(1024))).toEqual({ a: { ['k'.repeat(1024)]: 1 } })
      expect(faultOf(named(1025))).toEqual(['expected a key of at most 1024 bytes, got a longer one', '/a'])
      // three bytes each
      expect(faultOf(named(1).replace('k', '€'.repeat(341)))).toBeUndefined()
      expect(faultOf(named(1).replace('k', '€'.repeat(342)))?.[1]).toBe('/a')
    })
  })

  describe('locates', () => {
    const spansOf = (text: string) => {
      const scan = scanJson(shared(text))
      if (!scan.ok) throw new Error(scan.fault.message)
      return [scan.value, scan.spans]
    }

    it('strings of more than 1024 bytes', () => {
      expect(spansOf(JSON.stringify(['x'.repeat(1024)]))).toEqual([['x'.repeat(1024)], []])
      const span = { kind: 'text', start: 2, end: 1027, escaped: false }
      expect(spansOf(JSON.stringify(['x'.repeat(1025)]))).toEqual([[0n], [span]])
      const escaped = { kind: 'text', start: 1, end: 2401, escaped: true }
      expect(spansOf(`"${'\\"'.repeat(1200)}"`)).toEqual([0n, [escaped]])
    })

    it('what stands under the key base64, however short', () => {
      const found = spansOf('{"base64":"","a":"AA","b":{"base64":"AA"},"c":{"base64":["AA"]}}')
      const spans = [
        { kind: 'text', start: 11, end: 11, escaped: false },
        { kind: 'text', start: 37, end: 39, escaped: false },
      ]
      expect(found).toEqual([{ base64: 0n, a: 'AA', b: { base64: 1n }, c: { base64: ['AA'] } }, spans])
    })

    it('numbers that no float64 holds', () => {
      const spans = [
        { kind: 'huge', start: 5, end: 10 },
        { kind: 'huge', start: 15, end: 21 },
      ]
      expect(spansOf('{"a":1e999,"b":-1e999,"c":1e308}')).toEqual([{ a: 0n, b: 1n, c: 1e308 }, spans])
    })

    it('arrays of numbers, of booleans, of words that mean numbers, and of nothing', () => {
      const text =
        '{"a":[ [1],[2]],"b":[true],"c":["NaN",1],"d":["-Infinity"],"e":[ ],"f":["Nan"],"g":[false]}'
      const [value, spans] = spansOf(text)
      expect(value).toEqual({ a: 0n, b: 1n, c: 2n, d: 3n, e: 4n, f: ['Nan'], g: 5n })
      const numbers = (key: string, what: object) => {
        const start = text.indexOf(`"${key}":`) + 4
        return { kind: 'numbers', start, marks: [start, 0], element: 'number', ...what }
      }
      expect(spans).toMatchObject([
        numbers('a', { shape: [2, 1], count: 2, end: 15 }),
        numbers('b', { shape: [1], count: 1, element: 'boolean' }),
        numbers('c', { shape: [2], count: 2 }),
        numbers('d', { shape: [1], count: 1 }),
        numbers('e', { shape: [0], count: 0 }),
        numbers('g', { shape: [1], count: 1, element: 'boolean' }),
      ])
    })
  })

  describe('a scan in pieces', () => {
    const pauseOf = (text: string, piece: number, resume?: PausedScan) => {
      const scan = scanPiece(kernels, shared(text), { work: WORK, piece, ...(resume && { resume }) })
      if (!('paused' in scan)) throw new Error('has not paused')
      return scan.paused
    }

    it('pauses within a long string, at most 16 bytes behind the one that was named', () => {
      const text = `{"a":"${'x'.repeat(50)}\\n${'x'.repeat(50)}"}`
      const first = pauseOf(text, 20)
      expect(first).toMatchObject({ spans: [], open: { text: { start: 6, escaped: false } } })
      expect(first.open?.text?.at).toBe(first.at)
      expect(first.at).toBeGreaterThanOrEqual(20)
      expect(first.at).toBeLessThanOrEqual(36)
      const second = pauseOf(text, 60, first)
      expect(second).toMatchObject({ spans: [], open: { text: { start: 6, escaped: true } } })
      expect(second.at).toBeGreaterThanOrEqual(first.at + 60)
      expect(second.at).toBeLessThanOrEqual(first.at + 76)
    })

    it('pauses before what begins there or later, and leaves out what it has located', () => {
      const text = '{"a":[1,2],"b":[3,4],"c":"xyz","d":[5]}'
      const first = pauseOf(text, 15)
      expect(first).toMatchObject({ spans: [{ start: 5, end: 10 }], open: undefined, at: 15 })
      expect(pauseOf(text, 10, first)).toMatchObject({
        spans: [{ start: 5 }, { start: 15, end: 20 }],
        open: undefined,
        at: 25,
      })
    })
  })

  describe('looks at every byte a few times at most', () => {
    /** How many bytes are looked at, by the scanner itself and by its kernels. */
    function looks(text: string): number {
      let count = 0
      const bytes = shared(text)
      const counting = new Proxy(bytes, {
        get(target, key) {
          if (typeof key === 'string' && /^\d+$/.test(key)) count++
          return Reflect.get(target, key, target)
        },
      })
      const skipSpace: typeof kernels.skipSpace = (from, end) => {
        const after = kernels.skipSpace(from, end)
        count += after - from
        return after
      }
      scanWith(Object.create(kernels, { skipSpace: { value: skipSpace } }), counting, WORK)
      return count
    }

    it.each<[string, (size: number) => string]>([
      ['brackets without end', size => '['.repeat(size)],
      ['brackets and blanks', size => '[ '.repeat(size)],
      ['a blank behind brackets', size => `${'[ '.repeat(40)}${' '.repeat(size)}"x"`],
      [
        'brackets that open again and again',
        size => `["a",${`${'['.repeat(50)}"x"${']'.repeat(50)},`.repeat(size / 50)}1]`,
      ],
      ['blanks within brackets', size => `["a",${`[${' '.repeat(size / 40)}"x"],`.repeat(40)}1]`],
    ])('%s', (_name, text) => {
      for (const size of [2000, 20_000]) {
        const written = text(size)
        expect(looks(written)).toBeLessThan(8 * written.length)
      }
    })
  })
})
