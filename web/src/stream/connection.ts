/** One WebSocket to `GET /v1/stream`: JSON out, JSON and safetensors frames in, many runs side by side. */
import { ask } from '../page/access.ts'
import type { Problem } from '../page/problem.ts'
import { type FrameTensor, readSafetensors } from './read-safetensors.ts'

/** A message of the server: its fields, and its tensors where it came as a safetensors file. */
export interface Frame {
  type: string
  id?: string
  tensors: Record<string, FrameTensor>
  [field: string]: unknown
}

export interface ConnectionHandlers {
  onFrame(frame: Frame): void
  /** the server gives the page no stream; `onClose` follows */
  onRefused(problem: Problem): void
  /** also when it could not be opened */
  onClose(): void
}

export class Connection {
  readonly #handlers: ConnectionHandlers
  #socket: WebSocket | undefined
  #closed = false
  readonly #waiting: string[] = []

  constructor(handlers: ConnectionHandlers) {
    this.#handlers = handlers
    this.#open().catch(() => this.#end())
  }

  /** A browser sends no key with a handshake: the page asks for a ticket with its key, and shows that. */
  async #open(): Promise<void> {
    const response = await ask('v1/stream-ticket', { method: 'POST' })
    const answer = await response.json()
    if (this.#closed) return
    if (!response.ok) {
      this.#handlers.onRefused(answer)
      this.#end()
      return
    }
    const socket = new WebSocket(streamUrl(answer.ticket))
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('open', () => {
      for (const text of this.#waiting.splice(0)) socket.send(text)
    })
    socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
      const frame = frameOf(data)
      // what cannot be read may be what somebody waits for: without the connection nobody does
      if (frame === undefined) socket.close()
      else this.#handlers.onFrame(frame)
    })
    socket.addEventListener('close', () => this.#end())
  }

  get closed(): boolean {
    return this.#closed || (this.#socket?.readyState ?? WebSocket.CONNECTING) > WebSocket.OPEN
  }

  send(message: { type: string; [field: string]: unknown }): void {
    const text = JSON.stringify(message)
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text)
    else if (!this.closed) this.#waiting.push(text)
  }

  /** Nothing is said of it then. */
  close(): void {
    this.#closed = true
    this.#socket?.close()
  }

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#handlers.onClose()
  }
}

function frameOf(data: string | ArrayBuffer): Frame | undefined {
  try {
    if (typeof data === 'string') return { tensors: {}, ...JSON.parse(data) }
    const { tensors, metadata } = readSafetensors(data)
    return { ...JSON.parse(metadata.frame ?? '{}'), tensors }
  } catch {
    return undefined
  }
}

/** The stream of the server that the page came from. */
function streamUrl(ticket: string): string {
  const url = new URL(`v1/stream?ticket=${ticket}`, document.baseURI)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}
