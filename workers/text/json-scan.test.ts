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
