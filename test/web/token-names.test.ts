/** Tokens as people read them, of the tokenizers of test/fixtures/models and of what real vocabularies hold. */
import { describe, expect, it } from 'vitest'
import { isSpecial, namesOf, type Span } from '../../web/src/tokens/names.ts'
import { NAMES, readFixture } from '../service/models/fixture.ts'

const BYTES = NAMES.filter(name =>
  readFixture(name).texts[0].tokens.strings.some(token => token.includes('Ġ')),
)
const namesIn = (name: string, at: number) => {
  const { text, tokens } = readFixture(name).texts[at]
  return namesOf(text, tokens.strings, tokens.offsets)
}
const plain = (name: string, at: number) => namesIn(name, at).filter(each => !/^<.*>$/.test(each))

describe('of bytes', () => {
  it('are those of many families', () => {
    expect(BYTES).toContain('gpt2')
    expect(BYTES).toContain('roberta')
  })

  it.each(BYTES)('%s: a space has a mark', name => {
    expect(plain(name, 0)).toEqual(['T', 'he', '␣c', 'at', '␣', 'di', 'dn', "'t", '␣c', 'ros', 's'])
  })

  it.each(BYTES)('%s: a letter of several tokens is numbered by its parts', name => {
    const own = plain(name, 1)
    expect(
      own
        .join('')
        .replaceAll(/(.)₁(\1[₂₃])+/g, '$1')
        .replaceAll('␣', ' '),
    ).toBe('너무 피곤해서 café')
    expect(own.slice(0, 5)).toEqual(['너', '무₁', '무₂', '␣', '피₁'])
  })

  it('that begin in the middle of a letter and end in another', () => {
    // GPT-2's alphabet: ì Ŀ ´ is 이, ë ĭ ¤ is 다, Ċ a line feed
    const spans: Span[] = [
      [0, 2],
      [1, 2],
      [2, 3],
      [3, 4],
    ]
    expect(namesOf('이다\n\n', ['ìĿ´ë', 'ĭ¤', 'Ċ', 'Ċ'], spans)).toEqual(['이다₁', '다₂', '↵', '↵'])
  })

  it('and special ones stay what they are', () => {
    expect(namesIn('roberta', 0).at(0)).toBe('<s>')
    expect(isSpecial([0, 0])).toBe(true)
    // RoBERTa trims spaces off the place of a token
    const { tokens } = readFixture('roberta').texts[0]
    const blank = tokens.offsets[tokens.strings.indexOf('Ġ')]
    expect(blank[0]).toBe(blank[1])
    expect(isSpecial(blank)).toBe(false)
  })

  it('that nobody can see have their code', () => {
    const joined = ['ðŁĳ©', 'âĢį', 'ðŁļĢ']
    const spans = joined.map((_, index): Span => [index, index + 1])
    expect(namesOf('👩\u200d🚀', joined, spans)).toEqual(['👩', 'U+200D', '🚀'])
    expect(namesOf('👩\u200d🚀', [joined.join('')], [[0, 3]])).toEqual(['👩\u200d🚀'])
  })

  it('of a text that was normalised are what became of it', () => {
    const spans: Span[] = [
      [0, 1],
      [1, 5],
    ]
    expect(namesOf('Ca\u1105\u1161é', ['C', 'aëĿ¼Ã©'], spans)).toEqual(['C', 'a라é'])
  })
})

describe('of SentencePiece', () => {
  it('have the same mark, and bytes are parts of letters', () => {
    // what tokenizers gives of a vocabulary with bytes
    const tokens = ['<s>', '▁The', '▁', '<0xEA>', '<0xB8>', '<0xB8>', '▁The', '<0x0A>']
    const places = [0, 0, 0, 3, 3, 4, 4, 5, 4, 5, 4, 5, 5, 9, 9, 10]
    const spans = tokens.map((_, index): Span => [places[2 * index], places[2 * index + 1]])
    expect(namesOf('The 길 The\n', tokens, spans)).toEqual([
      '<s>',
      '␣The',
      '␣',
      '길₁',
      '길₂',
      '길₃',
      '␣The',
      '↵',
    ])
    expect(namesIn('t5', 0).slice(0, 6)).toEqual(['␣', '<unk>', 'h', 'e', '␣c', 'at'])
  })
})

describe('of letters', () => {
  it.each(['bert', 'distilbert'])('%s: they are as the vocabulary has them', name => {
    for (const { text, tokens } of readFixture(name).texts)
      expect(namesOf(text, tokens.strings, tokens.offsets)).toEqual(tokens.strings)
  })

  it.each([
    [
      'naïve été',
      ['naïve', 'été'],
      [
        [0, 5],
        [6, 9],
      ],
    ],
    [
      'był Ġgantija',
      ['był', 'ġ', '##gantija'],
      [
        [0, 3],
        [4, 5],
        [5, 12],
      ],
    ],
    ['Ã', ['Ã'], [[0, 1]]],
    ['', [], []],
  ] as [string, string[], Span[]][])('%s', (text, tokens, spans) => {
    expect(namesOf(text, tokens, spans)).toEqual(tokens)
  })
})
