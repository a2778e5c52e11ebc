/** How a connection is closed: why, in the form of every other error, and for good where its client does not answer. */
import type { WebSocket } from 'ws'
import { Problem } from '../../problem.ts'
import type { SendQueue } from './send-queue.ts'

/** Time for the last message to a client that is cut off. */
const LAST_WORDS_MS = 200

/** What is said to runs that come too late. */
export function draining(): Problem {
  return new Problem('DRAINING', 'this server is shutting down; start the run on another', { retryAfter: 1 })
}

/** Closes it, and cuts it off where that is not answered. */
export function closeForGood(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason)
  setTimeout(() => socket.terminate(), LAST_WORDS_MS)
}

/**
 * The protocol library closes a connection at once when a message is malformed or too large: before that, the client is
 * told in the form of every other error.
 */
export function explainClosing(socket: WebSocket, queue: SendQueue, requestId: string): void {
  const close = socket.close.bind(socket)
  const faults: Record<number, Problem> = {
    1002: new Problem('BAD_HTTP', 'expected WebSocket frames (RFC 6455), got something else'),
    1007: new Problem('INVALID_JSON', 'expected UTF-8, got something else'),
    1009: new Problem('BODY_TOO_LARGE', 'expected a smaller message'),
  }
  socket.close = (code, reason) => {
    const problem = code === undefined ? undefined : faults[code]
    if (problem !== undefined && queue.betweenMessages && socket.readyState === socket.OPEN) {
      socket.send(JSON.stringify({ type: 'error', problem: problem.toJSON(requestId) }))
    }
    close(code, reason)
  }
}
