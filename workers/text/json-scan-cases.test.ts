/** What a scan says of faults, what it bounds and what it locates, case by case. */
import { describe, expect, it } from 'vitest'
import { readScan } from '../../test/support/read-scan.ts'
import { kernels, scan as scanJson, shared, WORK } from '../../test/support/text-memory.ts'
import { scanPiece } from './json-scan.ts'
import type { PausedScan } from './json-spans.ts'
import { PASS_BYTES } from './text-kernels.ts'

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
    ['["a","\\x"]', 'expected one of "\\/bfnrtu behind the backslash, got "x"', 7],
    ['{"a":"\\u12g4"}', 'expected four hexadecimal digits, got "g"', 10],
    ['{"\\q":1}', 'expected one of "\\/bfnrtu behind the backslash, got "q"', 3],
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

  it.each<[text: string, word: string, pointer: string]>([
    ['{"s":NaN}', 'NaN', '/s'],
    ['{"s":-Infinity}', '-Infinity', '/s'],
    ['{"q":[[NaN]]}', 'NaN', '/q/0/0'],
    ['{"q":[[1,2],[3,NaN]]}', 'NaN', '/q/1/1'],
    ['{"q":[[-Infinity,1]]}', '-Infinity', '/q/0/0'],
    ['{"q":[1, -Infinity]}', '-Infinity', '/q/1'],
    ['{"q":[true,Infinity]}', 'Infinity', '/q/1'],
    ['{"a":["x",Infinity]}', 'Infinity', '/a/1'],
  ])('where a number that JSON does not have is bare: %s', (text, word, pointer) => {
    const [message, , found] = fault(text)
    expect(message).toBe(`expected a JSON value, got ${word} without quotes: it is written "${word}"`)
    expect(found).toBe(pointer)
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

  it('to 20,000 values', () => {
    const list = (values: number) => `[${Array(values - 1).fill('""')}]`
    expect(faultOf(list(20_000))).toBeUndefined()
    expect(faultOf(list(20_001))).toEqual([
      'expected at most 20000 values beside tensors, got more',
      '/19999',
    ])
  })

  it('to as many values as one who wants to be done soon asks for', () => {
    const list = (values: number) => shared(`[${Array(values - 1).fill('""')}]`)
    const place = { work: WORK, values: 100 }
    expect(scanPiece(kernels, list(100), place)).toEqual(scanJson(list(100)))
    expect(scanPiece(kernels, list(101), place)).toHaveProperty('paused')
    // what is wrong behind them is not looked for
    expect(scanPiece(kernels, shared(`[${'"",'.repeat(100)}`), place)).toHaveProperty('paused')
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
    expect(readScan(shared(named(1024)), scanJson(shared(named(1024))))).toEqual({
      a: { ['k'.repeat(1024)]: 1 },
    })
    expect(faultOf(named(1025))).toEqual(['expected a key of at most 1024 bytes, got a longer one', '/a'])
    // a blank behind the last byte is no control character
    expect(faultOf(`{"a":{"${'k'.repeat(1024)} ":1}}`)?.[1]).toBe('/a')
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
    const span = { kind: 'text', start: 2, end: 1027, escaped: false, characters: 1025, marks: [] }
    expect(spansOf(JSON.stringify(['x'.repeat(1025)]))).toEqual([[0n], [span]])
    const escaped = { kind: 'text', start: 1, end: 2401, escaped: true, characters: 1200, marks: [] }
    expect(spansOf(`"${'\\"'.repeat(1200)}"`)).toEqual([0n, [escaped]])
  })

  it('no short string, wherever it stands', () => {
    expect(spansOf('"x"')).toEqual(['x', []])
    expect(spansOf('{"a":"x","b":[["x"]]}')).toEqual([{ a: 'x', b: [['x']] }, []])
  })

  it('what stands under the key base64, however short', () => {
    const found = spansOf('{"base64":"","a":"AA","b":{"base64":"AA"},"c":{"base64":["AA"]}}')
    const spans = [
      { kind: 'text', start: 11, end: 11, escaped: false, characters: 0, marks: [] },
      { kind: 'text', start: 37, end: 39, escaped: false, characters: 2, marks: [] },
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
      '{"a":[ [1],[2]],"b":[true],"c":["NaN",1],"d":["-Infinity"],"e":[ ],"f":["Nan"],"g":[false],"h":[-1]}'
    const [value, spans] = spansOf(text)
    expect(value).toEqual({ a: 0n, b: 1n, c: 2n, d: 3n, e: 4n, f: ['Nan'], g: 5n, h: 6n })
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
      numbers('h', { shape: [1], count: 1 }),
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
    expect(first).toMatchObject({ spans: [], open: { text: { start: 6, longer: 0 } } })
    expect(first.open?.text?.at).toBe(first.at)
    expect(first.at).toBeGreaterThanOrEqual(20)
    expect(first.at).toBeLessThanOrEqual(36)
    const second = pauseOf(text, 60, first)
    expect(second).toMatchObject({ spans: [], open: { text: { start: 6, longer: 1 } } })
    expect(second.at).toBeGreaterThanOrEqual(first.at + 60)
    expect(second.at).toBeLessThanOrEqual(first.at + 76)
  })

  it('pauses within a string of blanks', () => {
    expect(pauseOf(`["a","${' '.repeat(2000)}"]`, 700)).toMatchObject({ open: { text: { start: 6 } } })
  })

  it('goes on where it has paused: what it has passed is not read again', () => {
    const text = `{"a":[1,2,3],"b":"${'y'.repeat(2000)}","c":[${'[1,2],'.repeat(300)}[3,4]],"d":"${'z'.repeat(2000)}"}`
    const bytes = shared(text)
    const whole = scanJson(bytes)
    let resume: PausedScan | undefined
    for (let pauses = 0; ; pauses++) {
      const scan = scanPiece(kernels, bytes, { work: WORK, piece: 500, ...(resume && { resume }) })
      if (!('paused' in scan)) {
        expect(scan).toEqual(whole)
        expect(pauses).toBeGreaterThan(5)
        break
      }
      resume = scan.paused
      const { spans, open, at } = resume
      // no JSON any more, but for the first bytes, which say what it is
      for (const { start, end } of spans) bytes.fill(1, start + 4, end - 1)
      const begun = open?.numbers ?? open?.text
      if (begun) bytes.fill(1, begun.start + 4, at)
    }
  })

  it('touches no more than its work area', () => {
    const text = shared('{"a":[[1,2],[3,4]],"b":[true]}')
    const behind = new Uint8Array(text.buffer, WORK + PASS_BYTES, 4096).fill(0x5a)
    const before = Buffer.from(text.buffer, 0, WORK)
    const tables = Buffer.from(before)
    expect(scanJson(text).ok).toBe(true)
    expect(behind.every(byte => byte === 0x5a)).toBe(true)
    expect(before.equals(tables)).toBe(true)
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
