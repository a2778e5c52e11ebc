/** Which requests are taken where too many come, by a clock of the test's own and turns of the event loop. */
import { expect, it } from 'vitest'
import { Crowd } from './drain.ts'

const turn = () => new Promise(resolve => setImmediate(resolve))

/** Each request takes a tenth of a millisecond, or what is given. */
function crowdWithClock() {
  let [now, idle] = [0, 0]
  const crowd = new Crowd(
    () => now,
    () => idle,
  )
  /** how many of a turn's requests are refused */
  const turnOf = async (requests: number, fresh = false, ms = 0.1) => {
    let refused = 0
    for (let i = 0; i < requests; i++) {
      if (crowd.begin(false, { fresh })) refused++
      now += ms
    }
    await turn()
    return refused
  }
  /** nothing to do, or work that is not requests */
  const pass = (ms: number) => {
    now += ms
    idle += ms
  }
  const work = (ms: number) => {
    now += ms
  }
  return { crowd, turnOf, pass, work }
}

async function crowded() {
  const bench = crowdWithClock()
  for (let turns = 0; turns < 8; turns++) await bench.turnOf(400, false, 1)
  expect(bench.crowd.crowded).toBe(true)
  return bench
}

it('takes a burst, and any number that comes a few a turn', async () => {
  const { turnOf, pass } = crowdWithClock()
  expect(await turnOf(150)).toBe(0)
  for (let turns = 0; turns < 100; turns++) {
    expect(await turnOf(60)).toBe(0)
    pass(100)
  }
})

it('takes hundreds of clients whose turns are short, and few whose turns are long', async () => {
  const [short, long] = [crowdWithClock(), crowdWithClock()]
  for (let turns = 0; turns < 100; turns++) {
    expect(await short.turnOf(400)).toBe(0)
    expect(await long.turnOf(40, false, 10)).toBe(0)
  }
})

it('takes few larger bodies where hundreds wait to be read', () => {
  const { crowd } = crowdWithClock()
  for (let i = 0; i < 20; i++) {
    expect(crowd.begin(true, { bodies: 127 })).toBe(false)
    crowd.enter()
  }
  expect(crowd.begin(true, { bodies: 128 })).toBe(true)
})

it('takes the first of a turn where every turn brings hundreds', async () => {
  const { turnOf } = await crowded()
  expect(await turnOf(100)).toBeGreaterThan(50)
  expect(await turnOf(20)).toBe(0)
})

it('takes none behind a long turn, which they have waited for, and then again', async () => {
  const { turnOf } = await crowded()
  await turnOf(10)
  expect(await turnOf(310)).toBeLessThan(310)
  expect(await turnOf(10)).toBe(10)
  expect(await turnOf(10)).toBe(0)
})

it('takes none behind other long work, and those that have come while there was none', async () => {
  const { turnOf, pass, work } = await crowded()
  await turnOf(10)
  await turnOf(10)
  work(26)
  expect(await turnOf(10)).toBe(10)
  pass(26)
  expect(await turnOf(10)).toBe(0)
})

it('takes some where all turns are long', async () => {
  const { turnOf } = await crowded()
  let refused = 0
  for (let turns = 0; turns < 18; turns++) if ((await turnOf(40, false, 1)) === 40) refused++
  expect(refused).toBe(16)
})

it('refuses what new connections bring first where more are waiting', async () => {
  const { crowd, turnOf } = await crowded()
  await turnOf(1)
  await turnOf(1)
  for (let i = 0; i < 20; i++) crowd.connect()
  await turn()
  expect(await turnOf(3, true)).toBe(3)
  for (let i = 0; i < 20; i++) crowd.connect()
  await turn()
  expect(await turnOf(3)).toBe(0)
})

it('has few larger bodies under way, and none where there is no room', async () => {
  const { crowd, turnOf } = await crowded()
  await turnOf(1)
  await turnOf(1)
  expect(crowd.begin(true, { room: false })).toBe(true)
  for (let i = 0; i < 8; i++) {
    expect(crowd.begin(true)).toBe(false)
    crowd.enter()
  }
  expect(crowd.begin(true)).toBe(true)
  crowd.leave()
  expect(crowd.begin(true)).toBe(false)
})

it('takes all again behind a second in which it refused few', async () => {
  const { crowd, turnOf, pass } = await crowded()
  for (let turns = 0; turns < 3; turns++) {
    pass(1001)
    await turnOf(20)
  }
  expect(crowd.crowded).toBe(false)
  expect(await turnOf(90)).toBe(0)
})

it('takes all again where half of a second had nothing in it, whatever was refused', async () => {
  const { crowd, turnOf, pass } = await crowded()
  for (let i = 0; i < 8; i++) crowd.enter()
  const ask = async () => {
    const refused = crowd.begin(true)
    await turn()
    return refused
  }
  expect(await ask()).toBe(true)
  for (let asked = 0; asked < 7; asked++) {
    pass(90)
    await turnOf(1, false, 90)
    expect(await ask()).toBe(crowd.crowded)
  }
  expect(crowd.crowded).toBe(false)
  expect(await ask()).toBe(false)
})
