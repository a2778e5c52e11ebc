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

it('begins sixty-four of all connections in a turn, each connection in its turn', async () => {
  const begun = Array.from({ length: 10 }, () => 0)
  const all = begun.map((_, index) => {
    const socket = {} as Socket
    return Array.from({ length: 32 }, () => laterTurn(socket).then(() => begun[index]++))
  })
  const sums = []
  for (let turn = 0; turn < 3; turn++) {
    await nextTurn()
    sums.push(begun.reduce((sum, each) => sum + each))
  }
  expect(sums).toEqual([64, 128, 192])
  // none has begun twice as many while another waits for its first
  expect(Math.min(...begun)).toBe(16)
  await Promise.all(all.flat())
  expect(new Set(begun)).toEqual(new Set([32]))
})
