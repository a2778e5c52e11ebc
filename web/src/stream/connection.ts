/** One WebSocket to `GET /v1/stream`: JSON out, JSON and safetensors frames in, many runs side by side. */
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
  /** also when it could not be opened */
  onClose(): void
}

export class Connection {
  readonly #socket: WebSocket
  readonly #waiting: string[] = []

  constructor(url: string, { onFrame, onClose }: ConnectionHandlers) {
    this.#socket = new WebSocket(url)
    this.#socket.binaryType = 'arraybuffer'
    this.#socket.addEventListener('open', () => {
      for (const text of this.#waiting.splice(0)) this.#socket.send(text)
    })
    this.#socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
      const frame = frameOf(data)
      // what cannot be read may be what somebody waits for: without the connection nobody does
      if (frame === undefined) this.#socket.close()
      else onFrame(frame)
    })
    this.#socket.addEventListener('close', onClose)
  }

  get closed(): boolean {
    return this.#socket.readyState > WebSocket.OPEN
  }

  send(message: { type: string; [field: string]: unknown }): void {
    const text = JSON.stringify(message)
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#waiting.push(text)
    else if (!this.closed) this.#socket.send(text)
  }

  close(): void {
    this.#socket.close()
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
export function streamUrl(): string {
  const url = new URL('v1/stream', document.baseURI)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}
