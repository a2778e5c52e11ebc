/**
 * A request that is refused while its body is still coming: its sender may read the answer only when all is sent, and a connection
 * that is closed with bytes unread loses the answer on its way. So the answer is written at once and ended when the rest of the body
 * has been taken in and thrown away, within bounds.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'

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
    await rest(message, mostBytes)
    answered.delete(socket)
    // what is still coming then would be taken for the next request
    if (!message.complete) socket.destroySoon()
  }
  return Readable.from(pieces(), { objectMode: false })
}

/** Resolves when the message is whole, has been cut off, or has gone beyond the bounds. */
function rest(message: IncomingMessage, mostBytes: number): Promise<void> {
  return new Promise(resolve => {
    let taken = 0
    const clock = setTimeout(resolve, LINGER_MS)
    const end = () => {
      clearTimeout(clock)
      resolve()
    }
    message.on('data', (chunk: Buffer) => {
      taken += chunk.length
      if (taken > mostBytes) end()
    })
    message.once('end', end)
    message.once('close', end)
    message.resume()
    if (message.complete || message.destroyed) end()
  })
}
