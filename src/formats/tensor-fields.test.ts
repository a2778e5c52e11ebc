/** Which types of element a field takes, and where one that it does not take is reported. */
import { describe, expect, it } from 'vitest'
import { float32, writeFile } from '../../test/service/safetensors-file.ts'
import { fileTree, jsonTree } from '../../test/support/body-tree.ts'
import { tensorKinds } from './tensor-fields.ts'

type Kind = 'values' | 'mask' | 'whole'

function parse(kind: Kind, tree: unknown, fields = tensorKinds(false)) {
  const found = fields[kind].safeParse((tree as { t: unknown }).t)
  return found.success
    ? found.data.dtype
    : found.error.issues.map(({ path, message }) => [path.join('/'), message])
}

const typed = (dtype: string) => ({ shape: [1], dtype, data: [1] })

describe('elements', () => {
  it.each<[Kind, string[]]>([
    ['values', ['float64', 'float32', 'float16', 'bfloat16']],
    ['mask', ['float64', 'float32', 'float16', 'bfloat16', 'bool']],
    ['whole', ['int32', 'int64']],
  ])('of %s', async (kind, allowed) => {
    for (const dtype of ['float64', 'float32', 'float16', 'bfloat16', 'bool', 'int32', 'int64']) {
      const found = parse(kind, await jsonTree({ t: typed(dtype) }))
      // numbers of JSON are whole where they are: each is looked at as it is read
      if (allowed.includes(dtype) || (kind === 'whole' && dtype === 'float64')) expect(found).toBe(dtype)
      else
        expect(found).toEqual([['dtype', expect.stringContaining(`(${allowed.join(', ')}), got ${dtype}`)]])
    }
  })

  it('are named with what was expected', async () => {
    expect(parse('values', await jsonTree({ t: [true] }))).toEqual([
      ['', 'expected numbers (float64, float32, float16, bfloat16), got bool'],
    ])
    expect(parse('mask', await jsonTree({ t: typed('int32') }))).toEqual([
      ['dtype', 'expected a bool or float mask (float64, float32, float16, bfloat16, bool), got int32'],
    ])
    expect(
      parse('whole', await jsonTree({ t: { shape: [1], dtype: 'float32', base64: 'AAAAAA==' } })),
    ).toEqual([['dtype', 'expected integers (int32, int64), got float32']])
  })

  it('of an empty array may be any, but not of an object that says', async () => {
    for (const kind of ['values', 'mask', 'whole'] as const)
      expect(parse(kind, await jsonTree({ t: [] }))).toBe('float64')
    expect(parse('values', await jsonTree({ t: { shape: [0], dtype: 'bool', data: [] } }))).toEqual([
      ['dtype', expect.stringContaining('got bool')],
    ])
  })

  it('of a file are what the file says', async () => {
    const file = await fileTree(writeFile({ t: float32([1], [1]) }, {}))
    expect(parse('values', file)).toBe('float32')
    expect(parse('whole', file)).toEqual([['', 'expected integers (int32, int64), got float32']])
    const doubles = await fileTree(
      writeFile({ t: { dtype: 'F64', shape: [1], data: new Uint8Array(8) } }, {}),
    )
    expect(parse('whole', doubles)).toEqual([['', 'expected integers (int32, int64), got float64']])
  })
})

describe('what is no tensor', () => {
  it('is reported where it is wrong', async () => {
    expect(parse('values', await jsonTree({ t: { shape: [-1], data: [1] } }))).toEqual([
      ['shape/0', 'expected a non-negative integer, got number -1'],
    ])
    expect(parse('values', await jsonTree({ t: { shape: [1] } }))).toEqual([
      ['', 'expected data or base64 beside the shape, got neither'],
    ])
  })
})

describe('tensors by any names', () => {
  const { named } = tensorKinds(false)

  it('are read one by one', async () => {
    const tree = await jsonTree({ t: { a: [1], b: typed('int32'), c: 'x', d: [[2]] } })
    const { data, error } = named.safeParse((tree as { t: unknown }).t)
    expect(data).toBeUndefined()
    expect(error?.issues.map(({ path, message }) => [path, message])).toEqual([
      [['b', 'dtype'], 'expected numbers (float64, float32, float16, bfloat16), got int32'],
      [['c'], expect.stringContaining('expected a tensor')],
    ])
    expect(named.parse(((await jsonTree({ t: { a: [1], d: [[2]] } })) as { t: unknown }).t)).toMatchObject({
      a: { shape: [1] },
      d: { shape: [1, 1] },
    })
  })

  it('are looked at up to the twentieth wrong one', () => {
    let looked = 0
    const wrong = {
      get shape() {
        looked++
        return [-1]
      },
    }
    const values = Object.fromEntries(Array.from({ length: 4354 }, (_, index) => [`n${index}`, wrong]))
    const { error } = named.safeParse(values)
    expect(error?.issues).toHaveLength(20)
    expect(error?.issues[19]).toMatchObject({ path: ['n19', 'shape', 0] })
    expect(looked).toBe(20)
  })
})

describe('shapes alone', () => {
  it('are taken by plans, whatever their type', async () => {
    const shapes = tensorKinds(true)
    expect([tensorKinds(false).shapeAlone, shapes.shapeAlone]).toEqual([false, true])
    for (const kind of ['values', 'mask', 'whole'] as const)
      expect(parse(kind, await jsonTree({ t: { shape: [2] } }), shapes)).toBe('float64')
    expect(parse('values', await jsonTree({ t: { shape: [2], dtype: 'int32' } }), shapes)).toBe('int32')
    expect(parse('whole', await jsonTree({ t: { shape: [2], dtype: 'bool' } }), shapes)).toBe('bool')
    expect(parse('values', await jsonTree({ t: typed('int32') }), shapes)).toEqual([
      ['dtype', expect.stringContaining('got int32')],
    ])
  })
})
