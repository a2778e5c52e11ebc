/** The three forms of a tensor in JSON: what is read of each, and what is said of anything else. */
import { describe, expect, it } from 'vitest'
import { jsonTree } from '../../test/support/body-tree.ts'
import type { TensorSource } from './tensor.ts'
import { FileTensor, type NumbersSpan, name, readTensor, TextSpan } from './tensor.ts'

async function read(value: unknown, shapeAlone = false) {
  const { t } = (await jsonTree({ t: value })) as { t: unknown }
  const found = readTensor(t, shapeAlone)
  return found
}

async function fault(value: unknown, shapeAlone = false): Promise<[string, string]> {
  const found = await read(value, shapeAlone)
  if (!('message' in found)) throw new Error('was read')
  return [found.path.join('/'), found.message]
}

/** The text of what was located. */
function located({ bytes, start, end }: TensorSource): string {
  return Buffer.from(bytes.slice(start, end)).toString()
}

describe('a tensor', () => {
  it.each<[string, unknown, Partial<TensorSource>, string]>([
    [
      'nested',
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      { shape: [3, 2], count: 6, dtype: 'float64', form: 'nested' },
      '[[1,2],[3,4],[5,6]]',
    ],
    [
      'nested, of booleans',
      [true, false],
      { shape: [2], count: 2, dtype: 'bool', form: 'nested' },
      '[true,false]',
    ],
    [
      'flat',
      { shape: [2, 2], data: [1, 2, 3, 4] },
      { shape: [2, 2], count: 4, dtype: 'float64', form: 'flat' },
      '[1,2,3,4]',
    ],
    [
      'flat, of a type',
      { shape: [2], data: [1, 2], dtype: 'int32' },
      { dtype: 'int32', form: 'flat' },
      '[1,2]',
    ],
    [
      'flat, of booleans',
      { shape: [2], data: [true, false] },
      { dtype: 'bool', form: 'flat' },
      '[true,false]',
    ],
    ['flat, of booleans by type', { shape: [1], data: [true], dtype: 'bool' }, { dtype: 'bool' }, '[true]'],
    ['flat, of numbers as bool', { shape: [2], data: [1, 0], dtype: 'bool' }, { dtype: 'bool' }, '[1,0]'],
    [
      'base64',
      { shape: [1, 2], dtype: 'float32', base64: 'AAAAAAAAAAA=' },
      { shape: [1, 2], count: 2, dtype: 'float32', form: 'base64', escaped: false },
      'AAAAAAAAAAA=',
    ],
    [
      'base64, escaped',
      { shape: [3], dtype: 'bool', base64: 'AA/A' },
      { shape: [3], form: 'base64' },
      'AA/A',
    ],
    ['a number', { shape: [], data: [7] }, { shape: [], count: 1, form: 'flat' }, '[7]'],
    ['eight axes', { shape: Array(8).fill(1), data: [7] }, { count: 1 }, '[7]'],
  ])('%s', async (_name, value, wanted, text) => {
    const found = (await read(value)) as TensorSource
    expect(found).toMatchObject(wanted)
    expect(located(found)).toBe(text)
  })

  it.each([
    ['blanks', `[2${' '.repeat(5000)}]`, '1'],
    ['empty arrays', `[[]${',[]'.repeat(5000)}]`, '5001, 0'],
  ])('a shape whose text is long is not read: %s', async (_name, shape, extents) => {
    const tree = (await jsonTree(`{"t":{"shape":${shape},"data":[1,2]}}`)) as { t: unknown }
    expect(readTensor(tree.t, false)).toMatchObject({
      path: ['shape'],
      message: expect.stringMatching(
        `integers, got an array of numbers of shape \\[${extents}\\] in ${shape.length} bytes$`,
      ),
    })
  })

  it.each([
    ['AA\\u0100', 3],
    ['AAAAAAA\\/', 8],
  ])('escaped base64 is measured before it is read: %s', async (base64, characters) => {
    const tree = (await jsonTree(`{"t":{"shape":[3],"dtype":"bool","base64":"${base64}"}}`)) as { t: unknown }
    expect(readTensor(tree.t, false)).toEqual({
      path: ['base64'],
      message: `expected 4 base64 characters for 3 bytes of bool [3], got ${characters} characters`,
    })
  })

  it('escaped base64 of the right length is read', async () => {
    const found = readTensor(
      ((await jsonTree('{"t":{"shape":[3],"dtype":"bool","base64":"AA\\/A"}}')) as { t: unknown }).t,
      false,
    )
    expect(found).toMatchObject({ escaped: true, form: 'base64', dtype: 'bool' })
  })

  it('long ones have marks from which reading can begin', async () => {
    const found = (await read({ shape: [70_000], data: Array(70_000).fill(1) })) as TensorSource
    expect(found.marks.length).toBe(4)
    expect(found.marks.slice(0, 2)).toEqual([found.start, 0])
  })

  it.each([
    ['nested', [], { shape: [0], dtype: 'float64', form: 'nested' }],
    ['nested, of rows', [[], []], { shape: [2, 0], dtype: 'float64', form: 'nested' }],
    ['flat', { shape: [0, 3], data: [] }, { shape: [0, 3], dtype: 'float64', form: 'flat' }],
    [
      'flat, of a type',
      { shape: [3, 0], data: [], dtype: 'int64' },
      { shape: [3, 0], dtype: 'int64', form: 'flat' },
    ],
    [
      'base64',
      { shape: [0], dtype: 'float16', base64: '' },
      { shape: [0], dtype: 'float16', form: 'base64' },
    ],
  ])('of no elements: %s', async (_name, value, wanted) => {
    expect(await read(value)).toMatchObject({ ...wanted, count: 0, marks: expect.any(Array) })
  })

  it('may be its shape alone, where a plan asks', async () => {
    expect(await read({ shape: [2, 3] }, true)).toEqual({
      ...{
        shape: [2, 3],
        count: 6,
        dtype: 'float64',
        form: 'shape',
        start: 0,
        end: 0,
        marks: [],
        escaped: false,
      },
      bytes: new Uint8Array(0),
    })
    expect(await read({ shape: [2], dtype: 'int32' }, true)).toMatchObject({ dtype: 'int32', form: 'shape' })
    expect(await fault({ shape: [2] })).toEqual(['', 'expected data or base64 beside the shape, got neither'])
  })

  it('of a file is what the file says', () => {
    const source = { shape: [2] } as TensorSource
    expect(readTensor(new FileTensor(source), false)).toBe(source)
  })
})

const FORMS = 'expected a tensor (nested arrays, {shape, data} or {shape, dtype, base64}), got'
const TYPES = 'float64, float32, float16, bfloat16, bool, int32, int64'
const SHAPE = 'expected an array of at most 8 non-negative integers, got'

describe('is no tensor', () => {
  it.each<[string, unknown, string, string | RegExp]>([
    ['a number', 7, '', `${FORMS} number 7`],
    ['a word', 'x', '', `${FORMS} string "x"`],
    ['a long word', 'y'.repeat(2000), '', `${FORMS} a string of 2000 bytes`],
    ['objects', [{}], '0', 'expected a number or a boolean, got an object'],
    [
      'an unknown member',
      { shape: [1], data: [1], kind: 1 },
      'kind',
      'expected only shape, dtype, data, base64',
    ],
    ['no shape', { data: [1] }, 'shape', `${SHAPE} nothing`],
    ['a shape that is a number', { shape: 3, data: [1] }, 'shape', `${SHAPE} number 3`],
    [
      'a shape of nine axes',
      { shape: Array(9).fill(1), data: [1] },
      'shape',
      `${SHAPE} an array of numbers of shape [9]`,
    ],
    [
      'a shape of two axes',
      { shape: [[1]], data: [1] },
      'shape/0',
      'expected a non-negative integer, got an array',
    ],
    [
      'a negative extent',
      { shape: [2, -1], data: [1] },
      'shape/1',
      'expected a non-negative integer, got number -1',
    ],
    [
      'half an extent',
      { shape: [0.5], data: [1] },
      'shape/0',
      'expected a non-negative integer, got number 0.5',
    ],
    [
      'an extent that is a word',
      { shape: ['a'], data: [1] },
      'shape/0',
      'expected a non-negative integer, got string "a"',
    ],
    [
      'an extent that is false',
      { shape: [false], data: [1] },
      'shape/0',
      'expected a non-negative integer, got boolean false',
    ],
    [
      'too many elements',
      { shape: [2 ** 30, 2 ** 30], data: [1] },
      'shape/1',
      'expected at most 1024 beside the extents before it, got 1073741824',
    ],
    [
      'an extent that is too large',
      { shape: [2 ** 51], data: [1] },
      'shape/0',
      'expected at most 1073741824, got 2251799813685248',
    ],
    [
      'one that is too large beside one of 0',
      { shape: [0, 1, 2 ** 40, 4], data: [] },
      'shape/2',
      'expected at most 1073741824, got 1099511627776',
    ],
    [
      'extents that are too many together beside one of 0',
      { shape: [65536, 2 ** 30, 0], dtype: 'float32', base64: '' },
      'shape/1',
      'expected at most 16777216 beside the extents before it, got 1073741824',
    ],
    [
      'an unknown type',
      { shape: [1], dtype: 'float8', data: [1] },
      'dtype',
      `expected one of ${TYPES}, got string "float8"`,
    ],
    [
      'data and base64',
      { shape: [1], dtype: 'float32', data: [1], base64: 'AAAAAA==' },
      '',
      'expected data or base64, got both',
    ],
    [
      'too few elements',
      { shape: [2, 2], data: [1, 2, 3] },
      'data',
      'expected 4 elements for shape [2, 2], got 3',
    ],
    [
      'no elements for some',
      { shape: [2, 1], data: [] },
      'data',
      'expected 2 elements for shape [2, 1], got 0',
    ],
    ['rows in data', { shape: [1, 1], data: [[1]] }, 'data/0', 'expected a number, got an array'],
    [
      'data that are no array',
      { shape: [1], data: 'x' },
      'data',
      'expected an array of numbers, got string "x"',
    ],
    [
      'data of objects',
      { shape: [1], data: [{}] },
      'data/0',
      'expected a number or a boolean, got an object',
    ],
    [
      'booleans for numbers',
      { shape: [1], data: [true], dtype: 'float32' },
      'data/0',
      'expected numbers (dtype float32), got booleans',
    ],
    [
      'base64 that is a number',
      { shape: [1], dtype: 'float32', base64: 1 },
      'base64',
      'expected a base64 string, got number 1',
    ],
    ['base64 of no type', { shape: [1], base64: 'AAAA' }, 'dtype', `expected one of ${TYPES}, got nothing`],
    [
      'base64 of another length',
      { shape: [1, 2], dtype: 'float32', base64: 'AAAA' },
      'base64',
      'expected 12 base64 characters for 8 bytes of float32 [1, 2], got 4 characters',
    ],
    [
      'base64 a character short',
      { shape: [3], dtype: 'bool', base64: 'AAA' },
      'base64',
      /expected 4 base64 characters for 3 bytes/,
    ],
  ])('%s', async (_name, value, path, message) => {
    const [where, what] = await fault(value)
    expect(where).toBe(path)
    if (typeof message === 'string') expect(what).toBe(message)
    else expect(what).toMatch(message)
  })

  it('booleans without an element, of any type', async () => {
    expect(await read({ shape: [0], data: [], dtype: 'float32' })).toMatchObject({
      dtype: 'float32',
      count: 0,
    })
  })
})

describe('the name of a value in a message', () => {
  it.each<[unknown, string]>([
    [undefined, 'nothing'],
    [null, 'null'],
    [3.5, 'number 3.5'],
    [true, 'boolean true'],
    ['abc', 'string "abc"'],
    ['z'.repeat(80), `string "${'z'.repeat(31)}…`],
    ['z'.repeat(30), `string "${'z'.repeat(30)}"`],
    [[1], 'an array'],
    [{}, 'an object'],
    [new FileTensor({ shape: [2, 3] } as TensorSource), 'a tensor of shape [2, 3]'],
    [
      new TextSpan(new Uint8Array(9), {
        kind: 'text',
        start: 2,
        end: 7,
        escaped: false,
        characters: 5,
        marks: [],
      }),
      'a string of 5 bytes',
    ],
  ])('%j', (value, text) => {
    expect(name(value)).toBe(text)
  })

  it('numbers that were located', async () => {
    const { a, b } = (await jsonTree({ a: [[1, 2]], b: [true] })) as Record<string, NumbersSpan>
    expect(name(a)).toBe('an array of numbers of shape [1, 2]')
    expect(name(b)).toBe('an array of booleans of shape [1]')
    expect(a.toArray(2)).toEqual([[1, 2]])
    expect(a.toArray(1)).toBe(a)
  })
})
