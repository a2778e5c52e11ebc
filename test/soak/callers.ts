/** Connections that have one request on its way each, written as it stands: a tenth of what `node:http` costs its client. */
import { connect, type Socket } from 'node:net'

type Answer = (status: number | string, bytes: Buffer) => void

const END_OF_HEAD = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)

export class Callers {
  readonly #port: number
  readonly #all = new Set<Caller>()
  readonly #idle: Caller[] = []

  constructor(port: number) {
    this.#port = port
  }

  /** Over the connection that has come back last, else over a new one. A fault has a name in place of a status. */
  ask(message: Buffer, answer: Answer): void {
    let caller = this.#idle.pop()
    while (caller?.over) caller = this.#idle.pop()
    if (caller === undefined) {
      const made = new Caller(this.#port)
      made.socket.once('close', () => this.#all.delete(made))
      this.#all.add(made)
      caller = made
    }
    const used = caller
    used.answer = (status, bytes) => {
      answer(status, bytes)
      if (!used.ended) this.#idle.push(used)
    }
    used.socket.write(message)
  }

  close(): void {
    for (const { socket } of this.#all) socket.destroy()
  }
}

class Caller {
  readonly socket: Socket
  answer: Answer | undefined
  ended = false
  /** when the server closes it, if it stays idle, less a second for what is on its way then */
  #until = Number.POSITIVE_INFINITY
  /** of an answer: its head while that is not whole, then its body */
  #pieces: Buffer[] = []
  #status = 0
  /** bytes that its body still wants; negative while its head is not whole */
  #left = -1

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', (piece: Buffer) => this.#take(piece))
    this.socket.on('error', error => this.#end((error as NodeJS.ErrnoException).code ?? error.message))
    this.socket.on('close', () => {
      this.ended = true
      this.#end('closed')
    })
  }

  get over(): boolean {
    return this.ended || performance.now() > this.#until
  }

  #take(piece: Buffer): void {
    this.#pieces.push(piece)
    if (this.#left < 0) {
      const all = Buffer.concat(this.#pieces)
      const end = all.indexOf(END_OF_HEAD)
      if (end < 0) return
      const head = all.toString('latin1', 0, end)
      const [, length] = /\r\ncontent-length: (\d+)/i.exec(head) ?? []
      this.#status = Number(head.slice(9, 12))
      this.ended = /\r\nconnection: close/i.test(head)
      this.#pieces = [all.subarray(end + END_OF_HEAD.length)]
      const [, seconds] = /\r\nkeep-alive: timeout=(\d+)/i.exec(head) ?? []
      if (seconds !== undefined) this.#until = performance.now() + 1000 * (Number(seconds) - 1)
      if (length === undefined) throw new Error(`an answer without a length: ${head}`)
      this.#left = Number(length) - this.#pieces[0].length
    } else this.#left -= piece.length
    if (this.#left > 0) return
    const bytes = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#left = -1
    if (this.ended) this.socket.destroy()
    this.#end(this.#status, bytes)
  }

  #end(status: number | string, bytes = NOTHING): void {
    const { answer } = this
    this.answer = undefined
    answer?.(status, bytes)
  }
}
