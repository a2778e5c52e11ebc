/** One run over a WebSocket of its own, its frames in order. */
import { ProblemError } from './problem.ts'
import { decodeFile, encodeFile } from './safetensors.ts'
import type * as api from './stream-api.d.ts'

/** `start` without what the client itself says. */
export type StreamRequest = Omit<api.StartMessage, ByClient> | Omit<api.ModelStartMessage, ByClient>
type ByClient = 'type' | 'id' | 'encoding' | 'detail'

export type Frame =
  | api.AcceptedMessage
  | api.LayerMessage
  | api.TokenMessage
  | api.ProgressMessage
  | api.DoneMessage

type Message = Frame | api.ErrorMessage | api.CancelledMessage | api.GoingAwayMessage

const ID = 'run'

/** Ends after `done`; throws a ProblemError for a run that fails. */
export async function* openStream(
  url: URL,
  request: StreamRequest,
  Socket: typeof WebSocket,
  signal: AbortSignal | undefined,
): AsyncGenerator<Frame, void, undefined> {
  signal?.throwIfAborted()
  const socket = new Socket(url)
  socket.binaryType = 'arraybuffer'
  const arrived: Message[] = []
  let failure: unknown
  let wake = () => {}
  const fail = (reason: unknown) => {
    failure ??= reason
    wake()
  }
  const send = (type: 'credit' | 'cancel', more: object = {}) => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ type, id: ID, ...more }))
  }
  const stop = () => fail(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  socket.onopen = () =>
    socket.send(encodeFile({ type: 'start', id: ID, ...request, encoding: 'safetensors' }))
  socket.onerror = () => fail(new TypeError(`no stream at ${url.origin}${url.pathname}`))
  socket.onclose = ({ code, reason }) =>
    fail(new TypeError(`the stream was closed: ${code} ${reason}`.trim()))
  socket.onmessage = ({ data }) => {
    arrived.push(
      typeof data === 'string' ? JSON.parse(data) : (decodeFile(new Uint8Array(data), 'frame') as Message),
    )
    wake()
  }
  try {
    for (;;) {
      while (arrived.length === 0) {
        if (failure !== undefined) throw failure
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
      const message = arrived.shift() as Message
      if (message.type === 'error') throw new ProblemError(message.problem.status, { ...message.problem })
      if (message.type === 'cancelled' || message.type === 'going_away') continue
      yield message
      if (message.type === 'done') return
      // what has been dealt with makes room for the next
      if (message.type === 'layer') send('credit', { add: 1 })
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    send('cancel')
    socket.onclose = null
    socket.close()
  }
}
