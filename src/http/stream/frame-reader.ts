/** Where the messages of a WebSocket begin and end (RFC 6455, 5.2). That the frames are right is the library's business. */

/** What the library takes for each chunk and frame of a message, beside its bytes. */
const CHUNK_BYTES = 128

const FINAL = 0x80
const CONTROL = 0x08
const MASKED = 0x80

/** Follows the frames that a client sends, to see where messages end. */
export class FrameReader {
  /** which message it is that is on its way or comes next */
  message = 0
  /** what has come of it, as it stands in memory; 0 between messages */
  bytes = 0
  readonly #header = new Uint8Array(14)
  #headerBytes = 0
  /** of the frame's payload, still to come */
  #left = 0

  read(chunk: Uint8Array): void {
    if (this.bytes > 0) this.bytes += CHUNK_BYTES
    let at = 0
    while (at < chunk.length) {
      if (this.#headerBytes < this.#headerLength()) {
        this.#header[this.#headerBytes++] = chunk[at++]
        if (this.#headerBytes < this.#headerLength()) continue
        this.#left = this.#payloadLength()
        if (!this.#control) this.bytes += CHUNK_BYTES
      }
      const taken = Math.min(this.#left, chunk.length - at)
      this.#left -= taken
      at += taken
      if (!this.#control) this.bytes += taken
      if (this.#left === 0) this.#endFrame()
    }
  }

  #endFrame(): void {
    this.#headerBytes = 0
    if (this.#control || (this.#header[0] & FINAL) === 0) return
    this.message++
    this.bytes = 0
  }

  get #control(): boolean {
    return (this.#header[0] & CONTROL) !== 0
  }

  #headerLength(): number {
    if (this.#headerBytes < 2) return 2
    const mask = this.#header[1] & MASKED ? 4 : 0
    const length = this.#header[1] & 0x7f
    return 2 + mask + (length === 127 ? 8 : length === 126 ? 2 : 0)
  }

  #payloadLength(): number {
    const length = this.#header[1] & 0x7f
    const view = new DataView(this.#header.buffer)
    if (length === 126) return view.getUint16(2)
    return length === 127 ? Number(view.getBigUint64(2)) : length
  }
}
