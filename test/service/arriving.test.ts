/** Bodies on their way: clocks that end the slow ones, and a guard that bounds them all. */
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { type Server, settled, startServer } from './server.ts'

/** Sends what it is given and then nothing more, or a byte now and then; what is answered until the connection ends. */
function slowly(server: Server, text: string, drip = false): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  let answer = ''
  socket.write(text)
  const more = drip ? setInterval(() => socket.write(' '), 20) : undefined
  socket.on('error', () => {})
  socket.on('data', data => {
    answer += data
  })
  return new Promise(resolve => {
    socket.on('close', () => {
      clearInterval(more)
      resolve(answer)
    })
  })
}

describe('a sender that is slow', () => {
  const head = 'POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
  /** Less than what Node's own check of its connections took. */
  const SOON = 15_000

  it.each([
    ['BODY_SECONDS', 'announced', `${head}content-length: 100000\r\n\r\n{"q":`, false],
    ['BODY_SECONDS', 'a byte now and then', `${head}content-length: 100000\r\n\r\n{"q":`, true],
    ['BODY_SECONDS', 'small', `${head}content-length: 100\r\n\r\n{"q":`, false],
    ['BODY_SECONDS', 'in chunks', `${head}transfer-encoding: chunked\r\n\r\n5\r\n{"q":\r\n`, false],
    ['DEADLINE_SECONDS', 'announced', `${head}content-length: 100000\r\n\r\n{"q":`, false],
    ['BODY_SECONDS', 'before the body', 'POST /v1/attention HTTP/1.1\r\nhost: x\r\n', false],
  ])(
    'gets a 408 by %s: %s',
    async (setting, _what, text, drip) => {
      const server = await startServer({ [setting]: '0.5' })
      const before = server.app.engine.arena.usedBytes
      const answer = await slowly(server, text, drip)
      expect(answer).toMatch(/^HTTP\/1.1 408 /)
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n{') + 4))).toMatchObject({
        code: 'BODY_TIMEOUT',
      })
      expect(await settled(server, before)).toBe(before)
    },
    SOON,
  )
})

describe('the guard on arriving bodies', () => {
  it('is as it was when bodies have been refused', async () => {
    const most = 2 << 20
    const server = await startServer({ MEMORY_BYTES: String(8 * most), MAX_BODY_BYTES: String(most) })
    const before = server.app.engine.arena.usedBytes
    const head = 'POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    const large = ' '.repeat(most + 50_000)
    const chunked = `${head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`
    for (let turn = 0; turn < 40; turn++) expect(await slowly(server, chunked)).toMatch(/^HTTP\/1.1 413 /)
    // half of the memory is for bodies that are on their way: four fit, as before
    const unfinished = `${head}content-length: ${most}\r\n\r\n${' '.repeat(most - 1)}`
    const port = Number(new URL(server.url).port)
    const refused: string[] = []
    const send = () => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.on('data', data => refused.push(String(data)))
      socket.write(unfinished)
      return socket
    }
    const waiting = Array.from({ length: 4 }, send)
    await expect.poll(() => server.app.engine.arena.usedBytes - before).toBe(4 * most)
    expect(refused).toEqual([])
    waiting.push(send())
    await expect.poll(() => refused.length).toBe(1)
    expect(refused[0]).toMatch(/^HTTP\/1.1 503 /)
    for (const socket of waiting) socket.destroy()
    expect(await settled(server, before)).toBe(before)
  })
})
