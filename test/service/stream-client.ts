/** A client of `GET /v1/stream` for tests: collects what comes, acknowledges layers, and waits for what it is told to. */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { SERVER_MESSAGES } from '../../src/endpoints/stream-answers.ts'
import { readFileTensors } from './safetensors-file.ts'
import type { Server } from './server.ts'

// biome-ignore lint/suspicious/noExplicitAny: messages are whatever the server sent; the tests say what they must be
export type Message = any

export class StreamClient {
  readonly socket: WebSocket
  readonly messages: Message[] = []
  /** add a credit for every layer that comes */
  acknowledge = true
  #wake = Promise.withResolvers<void>()

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data, binary) => this.#take(data as Buffer, binary))
    socket.on('close', () => this.#wake.resolve())
    socket.on('error', () => {})
  }

  static async open(
    server: Pick<Server, 'url'>,
    localAddress?: string,
    headers: Record<string, string> = {},
  ): Promise<StreamClient> {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/stream`, {
      maxPayload: 1 << 30,
      localAddress,
      headers,
    })
    const client = new StreamClient(socket)
    await once(socket, 'open')
    return client
  }

  send(message: object | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** The first message that is like this, now or when it comes; undefined when the connection ends before. */
  async until(like: (message: Message) => boolean): Promise<Message> {
    for (let seen = 0; ; ) {
      for (; seen < this.messages.length; seen++) if (like(this.messages[seen])) return this.messages[seen]
      if (this.socket.readyState >= WebSocket.CLOSING) return undefined
      await this.#wake.promise
    }
  }

  ended(id: string): Promise<Message> {
    return this.until(message => message.id === id && ['done', 'cancelled', 'error'].includes(message.type))
  }

  of(type: string, id?: string): Message[] {
    return this.messages.filter(message => message.type === type && (id === undefined || message.id === id))
  }

  async close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return
    const closed = once(this.socket, 'close')
    this.socket.close()
    await closed
  }

  #take(data: Buffer, binary: boolean): void {
    const message = binary ? unpack(data) : JSON.parse(data.toString())
    if (!binary) SERVER_MESSAGES[message.type as keyof typeof SERVER_MESSAGES].parse(message)
    this.messages.push(message)
    if (this.acknowledge && message.type === 'layer') this.send({ type: 'credit', id: message.id, add: 1 })
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }
}

/** A safetensors frame: its text fields, and its tensors as plain numbers by name. */
function unpack(data: Buffer): Message {
  const { metadata, tensors } = readFileTensors(data)
  return { ...JSON.parse(metadata.frame), file: tensors }
}
