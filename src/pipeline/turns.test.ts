import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Problem } from '../problem.ts'
import { type Asked, MOST_WAITING, Turns } from './turns.ts'

const never = new AbortController().signal
const by = (client: string, signal = never): Asked => ({
  client,
  signal,
  busy: () => new Problem('BUSY', `not ${client}`),
})

/** Work of that number of pauses, which says that it has begun and ended. */
function* work(pauses: number, name = '', log: string[] = []): Generator<void, string> {
  log.push(`${name} begins`)
  for (let pause = 0; pause < pauses; pause++) yield
  log.push(`${name} ends`)
  return name
}

/** Turns of the event loop until the promise settles. */
async function turnsDuring(promise: Promise<unknown>): Promise<number> {
  let over = false
  const watched = promise.then(() => {
    over = true
  })
  let turns = 0
  while (!over) {
    await nextTurn()
    turns++
  }
  await watched
  return turns
}

it('lets the event loop go on between slices', async () => {
  expect(await turnsDuring(new Turns().run(work(6400), by('a')))).toBeGreaterThanOrEqual(100)
})

it('has one work under way, and takes the clients in turn', async () => {
  const turns = new Turns()
  const log: string[] = []
  const runs = ['a1', 'a2', 'a3', 'b1', 'c1', 'b2'].map(name => turns.run(work(200, name, log), by(name[0])))
  expect(turns.waiting).toBe(5)
  expect(await Promise.all(runs)).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'b2'])
  const order = ['a1', 'a2', 'b1', 'c1', 'a3', 'b2']
  expect(log).toEqual(order.flatMap(name => [`${name} begins`, `${name} ends`]))
  expect(turns.waiting).toBe(0)
})

it('refuses what came last of the client with the most, when too many wait', async () => {
  const turns = new Turns()
  const log: string[] = []
  const first = turns.run(work(1000), by('first'))
  const many = Array.from({ length: MOST_WAITING }, (_, at) => turns.run(work(0, `a${at}`, log), by('a')))
  const last = many[MOST_WAITING - 1].catch((problem: Problem) => problem.message)
  const other = turns.run(work(0, 'b', log), by('b'))
  expect(await last).toBe('not a')
  expect(turns.waiting).toBe(MOST_WAITING)
  const more = turns.run(work(0), by('a'))
  await expect(more).rejects.toMatchObject({ code: 'BUSY' })
  await Promise.all([first, other, ...many.slice(0, -1)])
  expect(log.slice(0, 4)).toEqual(['a0 begins', 'a0 ends', 'b begins', 'b ends'])
  expect(log).toHaveLength(2 * MOST_WAITING)
})

it('ends with the signal, waiting or at work, and others go on', async () => {
  const turns = new Turns()
  const [working, waiting, late] = [new AbortController(), new AbortController(), new AbortController()]
  late.abort(new Problem('CLIENT_CLOSED', 'gone'))
  await expect(turns.run(work(1), by('a', late.signal))).rejects.toMatchObject({ code: 'CLIENT_CLOSED' })
  const log: string[] = []
  const first = turns.run(work(1e9, 'first', log), by('a', working.signal))
  const second = turns.run(work(1, 'second', log), by('b', waiting.signal))
  const third = turns.run(work(1, 'third', log), by('b'))
  waiting.abort(new Problem('CLIENT_CLOSED', 'left'))
  await expect(second).rejects.toMatchObject({ message: 'left' })
  while (log.length === 0) await nextTurn()
  working.abort(new Problem('DEADLINE_EXCEEDED', 'late'))
  await expect(first).rejects.toMatchObject({ message: 'late' })
  expect(await third).toBe('third')
  expect(await turns.run(work(1, 'fourth'), by('a'))).toBe('fourth')
  expect(log).toEqual(['first begins', 'third begins', 'third ends'])
})

it('goes on behind a work that fails', async () => {
  const turns = new Turns()
  function* failing(): Generator<void, string> {
    yield
    throw new Problem('SHAPE_MISMATCH', 'wrong')
  }
  const first = turns.run(failing(), by('a'))
  const second = turns.run(work(1, 'second'), by('a'))
  await expect(first).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' })
  expect(await second).toBe('second')
})
