/**
 * Requests that a client sends without waiting for the answers before them (HTTP/1.1, RFC 9112, 9.3.2): a packet may hold more
 * than a thousand. Those behind the first of a connection begin a few in each turn of the event loop.
 */
import type { Socket } from 'node:net'

const IN_TURN = 16

/** Those that wait, in their order. */
const waiting = new WeakMap<Socket, (() => void)[]>()

export function laterTurn(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const queue = waiting.get(socket)
  if (queue === undefined) {
    waiting.set(socket, [resolve])
    setImmediate(begin, socket)
  } else queue.push(resolve)
  return promise
}

function begin(socket: Socket): void {
  const queue = waiting.get(socket) ?? []
  for (const enter of queue.splice(0, IN_TURN)) enter()
  if (queue.length > 0) setImmediate(begin, socket)
  else waiting.delete(socket)
}
