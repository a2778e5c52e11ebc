/** Bytes → trees with tensors in them, and the problems of those that are none. */
import { describe, expect, it, test } from 'vitest'
import { float32, writeFile } from '../../test/service/safetensors-file.ts'
import { fileTree, jsonTree } from '../../test/support/body-tree.ts'
import { Problem } from '../problem.ts'
import { formatOf, MEDIA_TYPES, tensorPath } from './body.ts'
import { FileTensor, NumbersSpan, TextSpan } from './tensor.ts'

/** As `toJSON` answers it, in short. */
async function problem(tree: Promise<unknown>): Promise<[string, string, string]> {
  const error = await tree.then(
    () => undefined,
    found => found,
  )
  if (!(error instanceof Problem)) throw new Error(`no problem: ${error}`)
  const [{ path, message }] = error.errors
  return [error.code, path, message]
}

describe('the format of a body', () => {
  it.each([
    ['application/json', 'json'],
    ['Application/JSON ; charset=utf-8', 'json'],
    [' application/x-safetensors', 'safetensors'],
    ['APPLICATION/X-SAFETENSORS', 'safetensors'],
    ['text/plain', undefined],
    ['application/json+x', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%s', (type, format) => {
    expect(formatOf(type)).toBe(format)
  })

  it('is what an answer says it is', () => {
    for (const [format, type] of Object.entries(MEDIA_TYPES)) expect(formatOf(type)).toBe(format)
  })
})

describe('JSON', () => {
  it('has numbers and long strings located, and all else as it is', async () => {
    const long = 'y'.repeat(1100)
    const tree = (await jsonTree({
      n: [[1, 2]],
      flags: [true],
      list: ['a', 'b', 1, null, { deep: [3] }],
      long,
      base64: 'AA',
      small: 'x',
      yes: true,
      one: 1,
      inner: { base64: '', empty: {} },
    })) as Record<string, never>
    expect(tree.n).toBeInstanceOf(NumbersSpan)
    expect(tree.flags).toBeInstanceOf(NumbersSpan)
    expect(tree.long).toBeInstanceOf(TextSpan)
    expect(tree.base64).toBeInstanceOf(TextSpan)
    expect(tree.inner).toMatchObject({ empty: {} })
    expect((tree.inner as { base64: unknown }).base64).toBeInstanceOf(TextSpan)
    expect([tree.small, tree.yes, tree.one]).toEqual(['x', true, 1])
    const [a, b, one, nothing, { deep }] = tree.list as [string, string, number, null, { deep: unknown }]
    expect([a, b, one, nothing]).toEqual(['a', 'b', 1, null])
    expect(deep).toBeInstanceOf(NumbersSpan)
  })

  it('has no members that are null, and objects without a prototype', async () => {
    const tree = (await jsonTree({ a: null, b: { c: null, d: 1 } })) as object
    expect(Object.keys(tree)).toEqual(['b'])
    expect(Object.getPrototypeOf(tree)).toBe(null)
    expect(tree).toEqual({ b: { d: 1 } })
  })

  it('has empty lists as such, whether of names or of numbers', async () => {
    const tree = (await jsonTree({ a: [], b: [[]] })) as { a: unknown; b: unknown }
    expect(tree.a).toEqual([])
    expect(tree.b).toBeInstanceOf(NumbersSpan)
  })

  it.each([['null'], ['true'], ['"x"'], ['7.5']])('may be %s', async text => {
    expect(await jsonTree(text)).toEqual(JSON.parse(text))
  })

  it.each([
    ['a number of the wrong grammar', '{"a":[1,2.]}', ['INVALID_JSON', '', 'expected a digit, got "]"']],
    ['an end too early', '{"a":', ['INVALID_JSON', '', 'expected a JSON value, got the end']],
    ['a key twice', '{"a":{"b":1,"b":2}}', ['INVALID_JSON', '/a/b', 'expected one "b", got two']],
    [
      'a ragged tensor',
      '{"a/b":[[1,2],[3]]}',
      ['INVALID_TENSOR', '/a~1b/1', 'expected 2 elements as in the first, got 1'],
    ],
    ['a mixed one', '{"~":[1,true]}', ['INVALID_TENSOR', '/~0/1', 'expected a number, got a boolean']],
    [
      'a key of the language',
      '{"a":[["x",{"__proto__":1}]]}',
      ['INVALID_REQUEST', '/a/0/1/__proto__', 'expected no such field, got one'],
    ],
    [
      'the same at the root',
      '{"__proto__":null}',
      ['INVALID_REQUEST', '/__proto__', 'expected no such field, got one'],
    ],
    [
      'below a name to be escaped',
      '{"~/":{"__proto__":1}}',
      ['INVALID_REQUEST', '/~0~1/__proto__', 'expected no such field, got one'],
    ],
  ])('%s is named', async (_name, text, wanted) => {
    expect(await problem(jsonTree(text))).toEqual(wanted)
  })

  it('says at which byte', async () => {
    await expect(jsonTree('[1,x]')).rejects.toThrow('at byte 3: expected a number, got "x"')
  })
})

const one = float32([1.5], [1])

describe('a file', () => {
  it('has its tensors where their names say, and the rest from its metadata', async () => {
    const tree = (await fileTree(
      writeFile(
        { q: one, 'backward.grad_output': one, 'params.layers.0.w': one, 'stack.params.a.b': one },
        { request: JSON.stringify({ scale: 2, backward: { wrt: ['q'] }, k: [[1]] }) },
      ),
    )) as Record<string, never>
    expect(tree.q).toBeInstanceOf(FileTensor)
    expect(tree.k).toBeInstanceOf(NumbersSpan)
    expect(tree).toMatchObject({ scale: 2, backward: { wrt: ['q'], grad_output: expect.any(FileTensor) } })
    expect(tree).toMatchObject({ params: { 'layers.0.w': expect.any(FileTensor) } })
    expect(tree).toMatchObject({ stack: { params: { 'a.b': expect.any(FileTensor) } } })
  })

  it('has tensors that say where their bytes are', async () => {
    const file = writeFile({ a: one, q: float32([1, 2, 3, 4, 5, 6], [2, 3]) }, {})
    const tree = (await fileTree(file)) as { q: FileTensor }
    const { source } = tree.q
    expect(source).toMatchObject({
      shape: [2, 3],
      count: 6,
      dtype: 'float32',
      form: 'safetensors',
      marks: [],
      escaped: false,
    })
    expect(Array.from(new Float32Array(source.bytes.slice(source.start, source.end).buffer))).toEqual([
      1, 2, 3, 4, 5, 6,
    ])
  })

  it('without metadata is tensors alone', async () => {
    expect(Object.keys((await fileTree(writeFile({ q: one }, {}))) as object)).toEqual(['q'])
  })

  it.each([
    ['no file', Buffer.from('x'), ['INVALID_SAFETENSORS', '', 'expected at least 8 bytes, got 1']],
    [
      'a request that is no object',
      writeFile({}, { request: '"x"' }),
      ['INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object'],
    ],
    [
      'a request that is a list',
      writeFile({}, { request: '["x"]' }),
      ['INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object'],
    ],
    [
      'a request that is a tensor',
      writeFile({}, { request: '[1]' }),
      ['INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object'],
    ],
    [
      'a request that is null',
      writeFile({}, { request: 'null' }),
      ['INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object'],
    ],
    [
      'a request that is no JSON',
      writeFile({}, { request: '{' }),
      ['INVALID_JSON', '', 'expected a key in quotes, got the end'],
    ],
    [
      'one value twice',
      writeFile({ q: one }, { request: '{"q":1}' }),
      ['INVALID_SAFETENSORS', '/q', 'expected one value for q, got two'],
    ],
    [
      'a tensor below a tensor',
      writeFile({ q: one, 'q.x': one }, {}),
      ['INVALID_SAFETENSORS', '/q.x', 'expected one value for q.x, got two'],
    ],
    [
      'a tensor below a number',
      writeFile({ 'scale.x': one }, { request: '{"scale":1}' }),
      ['INVALID_SAFETENSORS', '/scale.x', 'expected one value for scale.x, got two'],
    ],
    [
      'a tensor below a list',
      writeFile({ 'return.0': one }, { request: '{"return":["x"]}' }),
      ['INVALID_SAFETENSORS', '/return.0', 'expected one value for return.0, got two'],
    ],
    [
      'a name of the language',
      writeFile({ 'a.__proto__.b': one }, {}),
      ['INVALID_REQUEST', '/a/__proto__/b', 'expected no such field, got one'],
    ],
  ])('%s is named', async (_name, file, wanted) => {
    expect(await problem(fileTree(file))).toEqual(wanted)
  })
})

test('thousands of tensors are put in their places in several turns', async () => {
  const tensors = Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`params.n${index}`, one]))
  let turns = 0
  const count = () => {
    turns++
    next = setImmediate(count)
  }
  let next = setImmediate(count)
  const tree = await fileTree(writeFile(tensors, {}))
  clearImmediate(next)
  expect(turns).toBeGreaterThanOrEqual(3)
  expect(Object.keys((tree as { params: object }).params)).toHaveLength(4000)
})

describe('the name of a tensor as a path', () => {
  it.each([
    ['q', ['q']],
    ['backward.grad_output', ['backward', 'grad_output']],
    ['params.layers.0.norm1.gamma', ['params', 'layers.0.norm1.gamma']],
    ['grads.params.w_q', ['grads', 'params', 'w_q']],
    ['grad_params.layers.1.w', ['grad_params', 'layers.1.w']],
    ['stack.params.a.params.b', ['stack', 'params', 'a.params.b']],
    ['params', ['params']],
    ['a.params', ['a', 'params']],
    ['.a..b.', ['', 'a', '', 'b', '']],
    ['params.', ['params', '']],
  ])('%s', (name, path) => {
    expect(tensorPath(name)).toEqual(path)
  })
})
