/** JSON texts from the grammar (RFC 8259), with everything it allows: blanks, escapes, all forms of numbers; and what is nearly one. */
import * as fc from 'fast-check'

const blank = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r', '  \n')

const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.constantFrom('0', '1', '7', '10', '123456789', '9007199254740993', '4'.repeat(40)),
    fc.constantFrom('', '.0', '.5', '.000001', `.${'3'.repeat(30)}`),
    fc.constantFrom('', '', 'e0', 'E5', 'e+10', 'e-10', 'e-400', 'E+300', 'e400'),
  )
  .map(parts => parts.join(''))

const character = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }).map(one => JSON.stringify(one).slice(1, -1)),
  fc.constantFrom(
    '\\"',
    '\\\\',
    '\\/',
    '\\b',
    '\\f',
    '\\n',
    '\\r',
    '\\t',
    '\\u0000',
    '\\uD83D\\uDE00',
    '\\ud800',
  ),
  fc.constantFrom('a', '[', ']', '{', '}', ',', ':', '1', ' '),
)

const string = fc.oneof(
  { weight: 8, arbitrary: fc.array(character, { maxLength: 6 }).map(all => `"${all.join('')}"`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...['""', '"base64"', '"NaN"', '"Infinity"', `"${'y'.repeat(1500)}"`]),
  },
)

const list = (open: string, items: string[], close: string, space: string) =>
  `${open}${space}${items.join(`${space},${space}`)}${space}${close}`

/** Arrays as tensors are written: regular, of numbers or booleans. */
const { rows } = fc.letrec<{ rows: string }>(tie => ({
  rows: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.tuple(fc.array(number, { maxLength: 4 }), blank).map(([all, space]) => list('[', all, ']', space)),
    fc
      .array(fc.constantFrom('true', 'false'), { minLength: 1, maxLength: 4 })
      .map(all => list('[', all, ']', '')),
    fc
      .tuple(tie('rows'), fc.integer({ min: 1, max: 3 }))
      .map(([row, count]) => `[${Array(count).fill(row)}]`),
  ),
}))

export const { text: jsonText } = fc.letrec<{ text: string }>(tie => ({
  text: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom('null', 'true', 'false'),
    number,
    string,
    rows,
    fc
      .tuple(fc.array(tie('text'), { maxLength: 4 }), blank)
      .map(([all, space]) => list('[', all, ']', space)),
    fc.tuple(fc.array(fc.tuple(string, blank, tie('text')), { maxLength: 4 }), blank).map(([all, space]) =>
      list(
        '{',
        all.map(([key, before, value]) => `${key}${before}:${space}${value}`),
        '}',
        space,
      ),
    ),
  ),
}))

/** A few places of a text that are written over, put in or left out. */
export const edits = fc.array(
  fc.record({
    at: fc.nat(),
    drop: fc.nat(3),
    put: fc.constantFrom(
      ...[
        '',
        '',
        '[',
        ']',
        '{',
        '}',
        ',',
        ':',
        '"',
        '\\',
        '0',
        '9',
        '-',
        '+',
        '.',
        'e',
        'E',
        ' ',
        '\u0000',
        '\n',
        'é',
      ],
      ...['null', 'true', '1e999', '[[', ']]', '{"a":', '"NaN"', '\\u00', '__proto__', '/', '~'],
    ),
  }),
  { minLength: 1, maxLength: 3 },
)

export type Edit = { at: number; drop: number; put: string }

export function edited(text: string, all: Edit[]): string {
  const changed = all.reduce((now, { at, drop, put }) => {
    const from = at % (now.length + 1)
    return now.slice(0, from) + put + now.slice(from + drop)
  }, text)
  // half of a pair of surrogates cannot be sent
  return changed.toWellFormed()
}

/** Whether a name stands twice: of two members `JSON.parse` keeps the last, so that places of the first are none. */
export function repeatsKeys(text: string): boolean {
  const keys = [...text.matchAll(/"((?:[^"\\]|\\.)*)"\s*:/g)].map(([, key]) => key)
  return new Set(keys).size < keys.length
}
