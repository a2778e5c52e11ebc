/**
 * A request that is refused while its body is still coming: its sender may read the answer only when all is sent, and a connection
 * that is closed with bytes unread loses the answer on its way. So the answer is written at once and ended when the rest of the body
 * has been taken in and thrown away, within bounds.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pace } from '../../pipeline/reading.ts'

const LINGER_MS = 5000

const answered = new WeakSet<Socket>()

/** Whether the request on it has its answer, and only the rest of its body is being taken in. */
export function isAnswered(socket: Socket): boolean {
  return answered.has(socket)
}

/** The answer as a stream whose end waits for that of the message. Its length must be told apart. */
export function lingering(answer: Buffer, message: IncomingMessage, mostBytes: number): Readable {
  const { socket } = message
  async function* pieces() {
    answered.add(socket)
    yield answer
    await takeIn(message, mostBytes)
    // what is still coming then would be taken for the next request
    if (!message.complete) socket.destroySoon()
  }
  return Readable.from(pieces(), { objectMode: false })
}

/** The rest of the body of a request that has its answer: resolves when it is whole, has been cut off, or has gone beyond the bounds. */
export async function takeIn(message: IncomingMessage, mostBytes: number, mostMs?: number): Promise<void> {
  const { socket } = message
  answered.add(socket)
  await rest(message, mostBytes, mostMs)
  answered.delete(socket)
}

function rest(message: IncomingMessage, mostBytes: number, mostMs: number | undefined): Promise<void> {
  return new Promise(resolve => {
    let taken = 0
    // hundreds that are refused at once do not all end in one turn of the event loop
    const clock = setTimeout(resolve, (mostMs ?? LINGER_MS) * (0.8 + 0.2 * Math.random()))
    const end = () => {
      clearTimeout(clock)
      resolve()
    }
    message.on('data', (chunk: Buffer) => {
      taken += chunk.length
      if (taken > mostBytes) end()
      // one whose connection goes on is read at once: what comes behind it waits for it
      const wait = mostMs === undefined ? undefined : pace(chunk.length, false)
      if (wait === undefined) return
      message.pause()
      void wait.then(() => message.resume())
    })
    message.once('end', end)
    message.once('close', end)
    message.resume()
    if (message.complete || message.destroyed) end()
  })
}
