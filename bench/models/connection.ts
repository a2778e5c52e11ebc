/**
 * A client for large answers that makes no garbage: it reads them into one buffer. Node's own client makes one of 64 KB for each piece,
 * and collecting them takes time of the cores that the next request is computed on.
 */
import { connect, type Socket } from 'node:net'

const BUFFER_BYTES = 256 * 1024
const LAST_CHUNK = '\r\n0\r\n\r\n'

export interface Exchanged {
  /** milliseconds until the answer's last byte, and those of them in the workers */
  ms: number
  compute: number
}

export class Connection {
  readonly #socket: Socket
  readonly #host: string
  #answer: PromiseWithResolvers<Exchanged> | undefined
  #began = 0
  #compute = 0
  /** bytes of the answer that are to come, its head included; undefined before it, infinitely many where only its end says so */
  #left: number | undefined
  /** the last bytes of what has come */
  #tail = ''

  constructor(url: string) {
    const { hostname, port, host } = new URL(url)
    this.#host = host
    const buffer = Buffer.alloc(BUFFER_BYTES)
    const callback = (length: number) => this.#receive(buffer.subarray(0, length))
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: { buffer, callback },
    })
    this.#socket.on('error', error => this.#answer?.reject(error))
  }

  /** One at a time. */
  post(path: string, body: string, accept: string): Promise<Exchanged> {
    const fields = [`host: ${this.#host}`, 'content-type: application/json', `accept: ${accept}`]
    const head = [`POST ${path} HTTP/1.1`, ...fields, `content-length: ${Buffer.byteLength(body)}`]
    this.#answer = Promise.withResolvers()
    this.#left = undefined
    this.#tail = ''
    this.#began = performance.now()
    this.#socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
    return this.#answer.promise
  }

  end(): void {
    this.#socket.destroy()
  }

  #receive(piece: Buffer): boolean {
    if (this.#left === undefined) {
      // the head is shorter than the first piece: the server writes it in one with the first bytes of the body
      const end = piece.indexOf('\r\n\r\n')
      const head = piece.toString('latin1', 0, end)
      if (!head.startsWith('HTTP/1.1 200 ')) this.#answer?.reject(new Error(piece.toString('latin1')))
      this.#compute = Number(/compute;dur=([\d.]+)/i.exec(head)?.[1])
      this.#left = end + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.POSITIVE_INFINITY)
    }
    this.#left -= piece.length
    const last = piece.toString('latin1', Math.max(0, piece.length - LAST_CHUNK.length))
    this.#tail = (this.#tail + last).slice(-LAST_CHUNK.length)
    const ended = this.#left === 0 || (this.#left === Number.POSITIVE_INFINITY && this.#tail === LAST_CHUNK)
    if (ended) this.#answer?.resolve({ ms: performance.now() - this.#began, compute: this.#compute })
    return true
  }
}
