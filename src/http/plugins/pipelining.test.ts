import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { laterTurn } from './pipelining.ts'

it('begins sixteen of a connection in a turn, in their order, and of others as many', async () => {
  const [one, other] = [{}, {}] as Socket[]
  const begun: number[] = []
  const elsewhere: number[] = []
  for (let index = 0; index < 40; index++) void laterTurn(one).then(() => begun.push(index))
  for (let index = 0; index < 3; index++) void laterTurn(other).then(() => elsewhere.push(index))
  const counts = []
  for (let turn = 0; turn < 4; turn++) {
    await nextTurn()
    counts.push(begun.length)
  }
  expect(counts).toEqual([16, 32, 40, 40])
  expect(begun).toEqual(begun.toSorted((a, b) => a - b))
  expect(elsewhere).toEqual([0, 1, 2])
  // and again from the beginning
  let again = false
  void laterTurn(one).then(() => {
    again = true
  })
  await nextTurn()
  expect(again).toBe(true)
})
