import { describe, expect, it } from 'vitest'
import { isBareNumber, quoteBareNumbers } from './bare-numbers.ts'

const quoted = async (text: string) => {
  const bytes = await quoteBareNumbers(Buffer.from(text), async length => new Uint8Array(length))
  return Buffer.from(bytes).toString()
}

describe('bare numbers', () => {
  it('get quotes, and nothing else does', async () => {
    expect(await quoted('[NaN,-Infinity, Infinity,-1]')).toBe('["NaN","-Infinity", "Infinity",-1]')
    const strings = '{"NaN":"Infinity \\" NaN \\\\","a":NaN}'
    expect(await quoted(strings)).toBe(strings.replace(':NaN}', ':"NaN"}'))
    for (const text of ['', 'NaN', '[Na,Inf]', '"NaN', '"\\']) {
      expect(await quoted(text)).toBe(text === 'NaN' ? '"NaN"' : text)
    }
  })

  it('are found wherever a slice ends', async () => {
    const blank = ' '.repeat(256 * 1024 - 3)
    expect(await quoted(`[${blank}-Infinity,"${blank}",NaN]`)).toBe(`[${blank}"-Infinity","${blank}","NaN"]`)
  })

  it('are told from what else a scan may stop at', () => {
    const text = Buffer.from('[-Infinity,NaN,-x]')
    expect([1, 2, 11].map(at => isBareNumber(text, at))).toEqual([true, true, true])
    expect([0, 3, 10, 15, 16, 99].map(at => isBareNumber(text, at))).toEqual(Array(6).fill(false))
  })
})
