/** Makes a body wrong: a value in place of another, a member left out, put in, written twice. */
import * as fc from 'fast-check'

/** Values that no field expects, or only some do. */
const hostile = fc.constantFrom<unknown>(
  ...[null, true, false, 0, -1, 1, 0.5, 3, 64, 65537, -(2 ** 31), 2 ** 31, 2 ** 53, 1e308, -1e-320],
  ...['', 'x', 'NaN', 'Infinity', '-Infinity', '__proto__', 'softmax', 'params.', 'params.w_q', 'a/b~c', 'é'],
  'y'.repeat(1200),
  ...[
    [],
    [[]],
    [[], []],
    [null],
    [[null, 1]],
    [1, [2]],
    [[1, 2], [3]],
    [[true, 1]],
    ['NaN', 1],
    [1, 'no'],
    [{}],
  ],
  ...[{}, { kind: 'x' }, { kind: 'rms' }, { shape: [] }, { shape: [0], data: [] }, { shape: [2, 2] }],
  { shape: [1], data: [1], dtype: 'int64' },
  { shape: [1, 1], dtype: 'float32', base64: 'AAAA' },
  { shape: [1, 1], dtype: 'float32', base64: 'AACAfw==' },
  { shape: [1, 1], dtype: 'bool', base64: 'Bw==' },
  { shape: [2 ** 31, 2 ** 31], data: [] },
  { shape: [0, 1, 2 ** 30, 4], data: [] },
  { shape: [1, 65536, 2 ** 24, 0], dtype: 'float32', base64: '' },
  { shape: [2 ** 30, 0] },
  { shape: [1e15], data: [1] },
  { shape: [1, 1, 1, 1, 1, 1, 1, 1, 1], data: [1] },
  { shape: [-1], data: [] },
  { shape: [1.5], data: [1] },
  [[[[[[[[[1]]]]]]]]],
)

const names = fc.constantFrom(
  'maks',
  '__proto__',
  'constructor',
  '',
  'a/b',
  '~',
  'data',
  'base64',
  'seed',
  'kind',
  'x',
)

const mutation = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'replace', 'replace', 'leave out', 'put in', 'take another'),
  value: hostile,
  name: names,
  other: fc.nat(),
})

type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never

/** Of half of all bodies none. */
export const mutations = fc.oneof(
  fc.constant<Mutation[]>([]),
  fc.array(mutation, { minLength: 1, maxLength: 2 }),
)

interface Place {
  holder: Record<string, unknown>
  key: string
}

/** Members that hold many more: of an array of numbers the first few stand for all. */
function places(value: unknown, found: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return found
  for (const key of Object.keys(value).slice(0, Array.isArray(value) ? 3 : undefined)) {
    found.push({ holder: value as Record<string, unknown>, key })
    places((value as Record<string, unknown>)[key], found)
  }
  return found
}

export function mutated(body: unknown, all: Mutation[]): unknown {
  const root = { body: structuredClone(body) }
  for (const { at, how, value, name, other } of all) {
    const found = places(root)
    const { holder, key } = found[at % found.length]
    if (how === 'replace') holder[key] = structuredClone(value)
    else if (how === 'take another') {
      const from = found[other % found.length]
      holder[key] = structuredClone(from.holder[from.key])
    } else if (how === 'leave out') {
      if (Array.isArray(holder)) holder.splice(Number(key), 1)
      else if (holder !== root) delete holder[key]
    } else {
      const into = holder[key]
      if (typeof into === 'object' && into !== null && !Array.isArray(into)) {
        Object.defineProperty(into, name, {
          value: structuredClone(value),
          enumerable: true,
          writable: true,
          configurable: true,
        })
      } else holder[key] = [structuredClone(into), structuredClone(value)]
    }
  }
  return root.body
}
