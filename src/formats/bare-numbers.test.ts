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
    const blank = ' '.repeat(1024 * 1024 - 3)
    expect(await quoted(`[${blank}-Infinity,"${blank}",NaN]`)).toBe(`[${blank}"-Infinity","${blank}","NaN"]`)
  })

  it('are found beside whatever else there is, as by looking at each byte', async () => {
    const pieces = [
      '"',
      '\\',
      'NaN',
      '-',
      'Infinity',
      'N',
      'I',
      ' ',
      '[1,2]',
      '"NaN"',
      '\\"',
      'x'.repeat(700_000),
    ]
    const plainly = (text: string) =>
      text.replace(/"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)|-?Infinity|NaN/g, found =>
        found[0] === '"' ? found : `"${found}"`,
      )
    let state = 1
    for (let turn = 0; turn < 300; turn++) {
      let text = ''
      for (let count = 0; count < 12; count++) {
        state = (state * 1103515245 + 12345) % 2 ** 31
        const most = turn % 50 === 0 ? pieces.length : pieces.length - 1
        text += pieces[Math.floor((state / 2 ** 31) * most)]
      }
      const same = (await quoted(text)) === plainly(text)
      expect(same, text.slice(0, 200)).toBe(true)
    }
  })

  it('are told from what else a scan may stop at', () => {
    const text = Buffer.from('[-Infinity,NaN,-x]')
    expect([1, 2, 11].map(at => isBareNumber(text, at))).toEqual([true, true, true])
    expect([0, 3, 10, 15, 16, 99].map(at => isBareNumber(text, at))).toEqual(Array(6).fill(false))
  })
})
