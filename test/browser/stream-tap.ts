/** The page's stream as a test sees it: what goes over it, and a way to speak, withhold and cut in the server's place. */
import type { Page, WebSocketRoute } from 'playwright-core'

export interface Message {
  type: string
  id?: string
  [field: string]: unknown
}

export class StreamTap {
  /** messages of the page, in their order */
  readonly sent: Message[] = []
  /** messages that the page was given, without their tensors */
  readonly came: Message[] = []
  /** the most layers at once that the page was given and had not acknowledged */
  most = 0
  #unacknowledged = 0
  /** how often the page has connected */
  connections = 0
  /** looks at a message of the page first: true keeps it from the server */
  keep: (message: Message) => boolean = () => false
  #page: WebSocketRoute | undefined
  #server: WebSocketRoute | undefined

  /** To be called before the page connects. */
  async on(page: Page): Promise<void> {
    await page.routeWebSocket(/\/v1\/stream/, socket => this.#join(socket))
  }

  #join(socket: WebSocketRoute): void {
    this.connections++
    this.#page = socket
    const server = socket.connectToServer()
    this.#server = server
    socket.onMessage(text => {
      const message: Message = JSON.parse(String(text))
      this.sent.push(message)
      if (message.type === 'start') this.#unacknowledged = 0
      if (message.type === 'credit') this.#unacknowledged -= Number(message.add)
      if (!this.keep(message)) server.send(text)
    })
    server.onMessage(data => {
      this.came.push(headOf(data))
      if (this.came.at(-1)?.type === 'layer') this.#unacknowledged++
      this.most = Math.max(this.most, this.#unacknowledged)
      socket.send(data)
    })
  }

  /** Says something to the page as the server would. */
  say(message: Message | string): void {
    this.#page!.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** Says something to the server as the page would. */
  ask(message: Message): void {
    this.#server!.send(JSON.stringify(message))
  }

  /** Ends the connection, as far as the page can tell without a word of the server. */
  async cut(): Promise<void> {
    await this.#server!.close()
    await this.#page!.close()
  }

  count(type: string): number {
    return this.came.filter(message => message.type === type).length
  }

  /** Credits that the page has added since it last started a run. */
  get credit(): number {
    const start = this.sent.findLastIndex(({ type }) => type === 'start')
    const credits = this.sent.slice(start).filter(({ type }) => type === 'credit')
    return credits.reduce((sum, { add }) => sum + Number(add), 0)
  }
}

/** A text as it is; of a safetensors file what its metadata says. */
function headOf(data: string | Buffer): Message {
  if (typeof data === 'string') return JSON.parse(data)
  const length = Number(data.readBigUInt64LE(0))
  const header = JSON.parse(data.subarray(8, 8 + length).toString('utf8'))
  return { ...JSON.parse(header.__metadata__.frame), bytes: data.length }
}
