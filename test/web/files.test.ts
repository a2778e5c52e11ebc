/** The files that the page reads and writes. */
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { asCurl, asPython } from '../../web/src/export/code.ts'
import { writeCsv } from '../../web/src/export/csv.ts'
import { writeSafetensors } from '../../web/src/export/safetensors.ts'
import { readSafetensors } from '../../web/src/stream/read-safetensors.ts'
import { readFile } from '../service/safetensors-file.ts'

describe('safetensors', () => {
  const tensor = fc.oneof(
    fc.float32Array({ maxLength: 20 }),
    fc.float64Array({ maxLength: 20 }),
    fc.uint8Array({ maxLength: 20 }),
  )

  it('come back as they were written, whatever their names', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), tensor), fc.string(), (given, note) => {
        fc.pre(!('__metadata__' in given) && !('__proto__' in given))
        const tensors = Object.entries(given).map(([name, data]) => ({ name, shape: [data.length], data }))
        const file = writeSafetensors(tensors as never, { note })
        const read = readSafetensors(file.buffer)
        expect(read.metadata).toEqual({ note })
        expect(Object.keys(read.tensors).sort()).toEqual(Object.keys(given).sort())
        for (const [name, data] of Object.entries(given)) expect(read.tensors[name]!.data).toEqual(data)
      }),
    )
  })

  it('are what another reader reads', () => {
    const file = writeSafetensors([{ name: 'grads.q', shape: [1, 2], data: Float64Array.of(0.1, -2) }], {
      response: '{"loss":1}',
    })
    const { tensors, response } = readFile(Buffer.from(file))
    expect(tensors['grads.q']).toMatchObject({ dtype: 'F64', shape: [1, 2] })
    expect(response).toEqual({ loss: 1 })
  })

  it('of a type that the page does not know are refused', () => {
    const file = Buffer.from(
      writeSafetensors([{ name: 'x', shape: [4], data: Uint8Array.of(1, 2, 3, 4) }], {}),
    )
    const other = Uint8Array.from(Buffer.from(file.toString('latin1').replace('"U8"', '"I8"'), 'latin1'))
    expect(() => readSafetensors(other.buffer)).toThrow('x is I8')
  })
})

describe('CSV', () => {
  it('keeps labels apart from formulas, commas and quotes', () => {
    const text = writeCsv([{ name: 'weights', rows: ['=1+1', 'a"b'], cols: ['x,y'], value: row => row / 3 }])
    expect(text.split('\r\n').slice(1, 3)).toEqual([
      'weights,0,0,\'=1+1,"x,y",0',
      'weights,1,0,"a""b","x,y",0.3333333333333333',
    ])
  })
})

describe('code', () => {
  const bodies = fc.record({
    text: fc.string({ unit: 'grapheme', maxLength: 40 }),
    quotes: fc.constant('"""\'\\"'),
  })

  it('in a shell says what was meant', () => {
    fc.assert(
      fc.property(bodies, fc.constantFrom(0, 120_000), (body, long) => {
        const given = { ...body, more: 'x'.repeat(long) }
        const echo = asCurl('http://h', '/p', given)
          .replace(/^curl -s \S+/, 'send')
          .replace('-d @-', '-')
        const send = 'send() { if [ "$3" = - ]; then cat; else printf %s "$4"; fi; }\n'
        const said = execFileSync('bash', ['-s'], { input: send + echo, encoding: 'utf8' })
        expect(JSON.parse(said)).toEqual(given)
      }),
      { numRuns: 12 },
    )
  })

  it('in Python says what was meant', () => {
    fc.assert(
      fc.property(bodies, body => {
        const code = asPython('http://h', '/p', body).replace(
          /^request = [\s\S]*$/m,
          'print(json.dumps(body))',
        )
        expect(JSON.parse(execFileSync('python3', ['-'], { input: code, encoding: 'utf8' }))).toEqual(body)
      }),
      { numRuns: 8 },
    )
  })
})
