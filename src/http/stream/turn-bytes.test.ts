import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { TurnBytes } from './turn-bytes.ts'

const MB = 1024 * 1024

it('takes a megabyte a turn of all senders together', async () => {
  const turn = new TurnBytes()
  expect(turn.take(MB - 1)).toBeUndefined()
  const first = turn.take(1)
  expect(first).toBeInstanceOf(Promise)
  expect(turn.take(10)).toBe(first)
  await first
  expect(turn.take(MB - 1)).toBeUndefined()
  await nextTurn()
  expect(turn.take(MB - 1)).toBeUndefined()
})
