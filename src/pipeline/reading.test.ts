/** The bytes of one turn of the event loop. */
import { expect, it } from 'vitest'
import { pace } from './reading.ts'

const MB = 1 << 20
const turn = () => new Promise(resolve => setImmediate(resolve))

it('lets bodies bring a megabyte a turn, and what is thrown away behind them', async () => {
  await turn()
  expect(pace(MB - 1)).toBeUndefined()
  const order: string[] = []
  const waits = [
    pace(1, false)?.then(() => order.push('thrown away')),
    ...Array.from({ length: 16 }, () => pace(1)?.then(() => order.push('wanted'))),
  ]
  expect(waits.every(wait => wait !== undefined)).toBe(true)
  await turn()
  expect(order).toEqual(Array(16).fill('wanted'))
  await turn()
  expect(order.at(-1)).toBe('thrown away')
  await turn()
  expect(pace(MB - 1)).toBeUndefined()
})
