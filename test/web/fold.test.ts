/** Special tokens are found by their offsets, and leave maps and thumbnails whole without them. */
import { describe, expect, it } from 'vitest'
import { Drawn } from '../../web/src/layers/drawn.ts'
import { foldMap, foldThumbnail, keptPlaces, plainTokens, toldTokens } from '../../web/src/layers/fold.ts'

const told = {
  strings: [['[CLS]', 'a', '[MASK]', '[SEP]']],
  offsets: [
    [
      [0, 0],
      [0, 1],
      [2, 8],
      [0, 0],
    ],
  ],
}
const tokens = toldTokens(told, 'a [MASK]')
const map = { rows: 4, cols: 4, data: Float32Array.from({ length: 16 }, (_, index) => index) }
const thumbnail = {
  pass: 'forward' as const,
  layer: 0,
  head: 0,
  rows: 4,
  cols: 4,
  bytes: Uint8Array.from([255, 9, 9, 9, 9, 10, 20, 9, 9, 30, 51, 9, 9, 9, 9, 9]),
  scale: 1,
  entropy: Float32Array.from([0, 1, 2, 3]),
}

describe('special tokens', () => {
  it('are those that stand nowhere in the text', () => {
    expect(tokens.special).toEqual([true, false, false, true])
    expect(keptPlaces(tokens, true)).toEqual([1, 2])
    expect(keptPlaces(tokens, false)).toEqual([0, 1, 2, 3])
    expect(keptPlaces(plainTokens(['a', 'b']), true)).toEqual([0, 1])
  })

  it('stay where there is nothing else', () => {
    expect(keptPlaces({ ...plainTokens(['[CLS]', '[SEP]']), special: [true, true] }, true)).toEqual([0, 1])
  })

  it('leave rows and columns', () => {
    expect(foldMap(map, [1, 2])).toEqual({ rows: 2, cols: 2, data: Float32Array.of(5, 6, 9, 10) })
    expect(foldMap(map, [0, 1, 2, 3])).toBe(map)
  })

  it('leave thumbnails, whose largest weight is as strong as ever', () => {
    const folded = foldThumbnail(thumbnail, [1, 2], 4)
    expect(folded).toMatchObject({ rows: 2, cols: 2, bytes: Uint8Array.of(50, 100, 150, 255) })
    expect(folded.scale).toBeCloseTo(51 / 255, 12)
    expect(folded.entropy).toEqual(Float32Array.of(1, 2))
    const pooled = foldThumbnail({ ...thumbnail, rows: 2, cols: 2, bytes: new Uint8Array(4) }, [1, 2], 4)
    expect(pooled).toMatchObject({ rows: 2, cols: 2, entropy: Float32Array.of(1, 2) })
  })
})

describe('what is drawn', () => {
  it('follows the choice, and a row stays with its token', () => {
    const drawn = new Drawn(false)
    drawn.tokens = tokens
    expect(drawn.strings).toEqual(['[CLS]', 'a', '[MASK]', '[SEP]'])
    expect([0, 1, 2, 3].map(row => drawn.moved(row, true))).toEqual([0, 0, 1, 0])
    drawn.fold = true
    expect(drawn.strings).toEqual(['a', '[MASK]'])
    expect([0, 1].map(row => drawn.moved(row, false))).toEqual([1, 2])
    expect(drawn.map(map)?.data).toEqual(Float32Array.of(5, 6, 9, 10))
    expect(drawn.map(map)).toBe(drawn.map(map))
  })
})
