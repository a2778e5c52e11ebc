/** Where one extent is 0, the others cost their sender nothing: no request may have workers go over them. */
import { expect, it } from 'vitest'
import { attention, post, settled, startServer } from './server.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes
const I = [
  [1, 0],
  [0, 1],
]
const empty = (...shape: number[]) => ({ shape, dtype: 'float32', base64: '' })

it.each([
  ['more rows than a 32-bit word counts', empty(65536, 2 ** 24, 0), {}],
  ['rows that a 32-bit word just counts', empty(65536, 32767, 0), {}],
  ['no rows', empty(65536, 0, 2 ** 24), {}],
  ['a gradient', empty(65536, 2 ** 24, 0), { backward: { grad_output: empty(65536, 2 ** 24, 0) } }],
  ['a loss', empty(65536, 2 ** 24, 0), { backward: { target: empty(65536, 2 ** 24, 0) } }],
])('alibi of %s is nothing, and takes no time of the workers', async (_, x, more) => {
  const body = { kind: 'alibi', x, encoding: 'flat', ...more }
  // one for each worker
  const answers = await Promise.all([1, 2].map(() => post(server, '/v1/positional-encoding', body)))
  for (const { status, body } of answers) {
    expect(status).toBe(200)
    expect(body.output).toMatchObject({ shape: x.shape, data: [] })
  }
  const others = await Promise.all(Array.from({ length: 16 }, () => attention(server, { q: I, k: I, v: I })))
  expect(others.map(({ status }) => status)).toEqual(others.map(() => 200))
  expect(server.app.engine.jobs).toBe(0)
  expect(await settled(server, before)).toBe(before)
})

it('the plan of such a request is as small as what it takes', async () => {
  const x = { shape: [65536, 2 ** 24, 0] }
  const { status, body } = await post(server, '/v1/plan', {
    endpoint: '/v1/positional-encoding',
    body: { kind: 'alibi', x, encoding: 'flat' },
  })
  expect(status).toBe(200)
  expect(body).toMatchObject({ admitted: true, flops: 0 })
  expect(body.seconds).toBeLessThan(0.001)
})

it('more units than workers can count are refused', async () => {
  const x = empty(2 ** 30, 2, 0, 4)
  const { status, body } = await attention(server, {
    q: x,
    k: x,
    v: x,
    encoding: 'flat',
    backward: { target: x },
  })
  expect({ status, code: body.code }).toEqual({ status: 413, code: 'COMPUTE_TOO_LARGE' })
  expect(body.detail).toMatch(/^expected fewer than 2147483648 units of work in one stage, got \d+/)
  expect(await settled(server, before)).toBe(before)
})

it.each([
  ['an extent', empty(0, 1, 2 ** 40, 4), '/x/shape/2', /^expected at most 1073741824, got 1099511627776$/],
  [
    'extents together',
    empty(65536, 2 ** 30, 0),
    '/x/shape/1',
    /^expected at most 16777216 beside the extents before it, got 1073741824$/,
  ],
  [
    'a shape alone',
    { shape: [0, 2 ** 31] },
    '/body/x/shape/1',
    /^expected at most 1073741824, got 2147483648$/,
  ],
])('more than any tensor has is refused, whatever the product: %s', async (_name, x, path, message) => {
  const body = { kind: 'alibi', x, encoding: 'flat' }
  const isPlan = path.startsWith('/body')
  const answer = isPlan
    ? await post(server, '/v1/plan', { endpoint: '/v1/positional-encoding', body })
    : await post(server, '/v1/positional-encoding', body)
  expect(answer.body).toMatchObject({ status: 400, code: 'INVALID_REQUEST', errors: [{ path }] })
  expect(answer.body.errors[0].message).toMatch(message)
})
