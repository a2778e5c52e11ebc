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
/** Another server is looked for this often, each time after twice the time. */
const MOST_TRIES = 6
const FIRST_WAIT_MS = 50

/**
 * Ends after `done`; throws a ProblemError for a run that fails. Where a server shuts down, the run goes on on another behind the
 * same address, at the frame where it stands.
 */
export async function* openStream(
  url: URL,
  request: StreamRequest,
  Socket: typeof WebSocket,
  signal: AbortSignal | undefined,
): AsyncGenerator<Frame, void, undefined> {
  let resume = request.resume
  let accepted = false
  for (let tries = 0; ; tries++) {
    signal?.throwIfAborted()
    const connection = new Connection(url, { ...request, ...(resume && { resume }) }, Socket, signal)
    try {
      for (;;) {
        const message = await connection.next()
        if (message.type === 'going_away') {
          resume = message.resume?.find(({ id }) => id === ID) ?? resume
          break
        }
        if (message.type === 'error') {
          if (message.problem.code === 'DRAINING' && tries < MOST_TRIES) break
          throw new ProblemError(message.problem.status, { ...message.problem })
        }
        if (message.type === 'cancelled' || (message.type === 'accepted' && accepted)) continue
        accepted = true
        tries = 0
        yield message
        if (message.type === 'done') return
        // what has been dealt with makes room for the next
        if (message.type === 'layer') connection.send('credit', { add: 1 })
      }
    } catch (error) {
      // the others may not have been reached yet
      if (tries === 0 || tries >= MOST_TRIES || !(error instanceof ConnectionError)) throw error
    } finally {
      connection.close()
    }
    await new Promise(resolve => setTimeout(resolve, FIRST_WAIT_MS * 2 ** tries))
  }
}

/** There is no connection, or no longer one. */
class ConnectionError extends TypeError {}

class Connection {
  readonly #socket: WebSocket
  readonly #arrived: Message[] = []
  readonly #stop: () => void
  readonly #signal: AbortSignal | undefined
  #failure: unknown
  #wake = () => {}

  constructor(url: URL, request: StreamRequest, Socket: typeof WebSocket, signal: AbortSignal | undefined) {
    const socket = new Socket(url)
    this.#socket = socket
    this.#signal = signal
    this.#stop = () => this.#fail(signal?.reason)
    signal?.addEventListener('abort', this.#stop, { once: true })
    socket.binaryType = 'arraybuffer'
    socket.onopen = () =>
      socket.send(encodeFile({ type: 'start', id: ID, ...request, encoding: 'safetensors' }))
    socket.onerror = () => this.#fail(new ConnectionError(`no stream at ${url.origin}${url.pathname}`))
    socket.onclose = ({ code, reason }) =>
      this.#fail(new ConnectionError(`the stream was closed: ${code} ${reason}`.trim()))
    socket.onmessage = ({ data }) => {
      this.#arrived.push(
        typeof data === 'string' ? JSON.parse(data) : (decodeFile(new Uint8Array(data), 'frame') as Message),
      )
      this.#wake()
    }
  }

  /** What has come before the end is given first. */
  async next(): Promise<Message> {
    while (this.#arrived.length === 0) {
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.#arrived.shift() as Message
  }

  send(type: 'credit' | 'cancel', more: object = {}): void {
    const socket = this.#socket
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ type, id: ID, ...more }))
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#stop)
    this.send('cancel')
    this.#socket.onclose = null
    this.#socket.close()
  }

  #fail(reason: unknown): void {
    this.#failure ??= reason
    this.#wake()
  }
}
