/**
 * Requests that a client sends without waiting for the answers before them (HTTP/1.1, RFC 9112, 9.3.2): a packet may hold more
 * than a thousand. Those behind the first of a connection begin a few in each turn of the event loop, connections in turn.
 */
import type { Socket } from 'node:net'

/** In a turn, of one connection and of all. */
const IN_TURN = 16
const OF_ALL = 64

/** Those that wait, in their order; connections in the order in which their turn comes. */
const waiting = new Map<Socket, (() => void)[]>()

export function laterTurn(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const queue = waiting.get(socket)
  if (queue === undefined) {
    if (waiting.size === 0) setImmediate(begin)
    waiting.set(socket, [resolve])
  } else queue.push(resolve)
  return promise
}

function begin(): void {
  let left = OF_ALL
  for (const [socket, queue] of [...waiting]) {
    const entering = queue.splice(0, Math.min(IN_TURN, left))
    left -= entering.length
    waiting.delete(socket)
    if (queue.length > 0) waiting.set(socket, queue)
    for (const enter of entering) enter()
    if (left === 0) break
  }
  if (waiting.size > 0) setImmediate(begin)
}
