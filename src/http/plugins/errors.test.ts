/** What never became a request. */
import { Duplex } from 'node:stream'
import pino from 'pino'
import { expect, it } from 'vitest'
import { clientErrors } from './errors.ts'
import { Metrics } from './observe.ts'

const turn = () => new Promise(resolve => setImmediate(resolve))

it('of a thousand connections that are over at once, a few are answered in a turn of the event loop, and then all', async () => {
  const answer = clientErrors(pino({ level: 'silent' }), new Metrics(), () => {
    throw new Error('not asked for')
  })
  const answers: string[] = []
  const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  for (let i = 0; i < 1000; i++) {
    const socket = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        answers.push(String(chunk))
        done()
      },
    })
    answer(late, socket as never)
  }
  expect(answers).toEqual([])
  let before = 0
  let most = 0
  for (let turns = 0; turns < 1000 && answers.length < 1000; turns++) {
    await turn()
    most = Math.max(most, answers.length - before)
    before = answers.length
  }
  expect(answers).toHaveLength(1000)
  expect(most).toBeLessThan(20)
  expect(answers[999]).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"BODY_TIMEOUT"/)
})
