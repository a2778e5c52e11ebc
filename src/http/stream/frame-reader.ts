/**
 * Where the messages of a WebSocket begin and end (RFC 6455, 5.2), and long frames in pieces. That the frames are right is the
 * library's business; but it copies and unmasks each at once when it is whole, byte by byte, and text once more when its message is.
 */
import { unmask } from './unmask.ts'

/** Bytes of a long frame that the library is handed as a frame: a multiple of the mask's four, and of the largest message fewer than the 16,384 that it takes. */
export const PIECE = 256 * 1024
/** What the library takes for each chunk and frame of a message, beside its bytes. */
const CHUNK_BYTES = 128

const FINAL = 0x80
const CONTROL = 0x08
const TEXT = 0x01
const BINARY = 0x02
const MASKED = 0x80

/** Follows the frames that a client sends, to see where messages end. `pass` is given what the library is to read in their place. */
export class FrameReader {
  /** which message it is that is on its way or comes next */
  message = 0
  /** what has come of it, as it stands in memory; 0 between messages */
  bytes = 0
  /** the message whose end is passed is text, and is passed as if it were none */
  text = false
  readonly #pass: (bytes: Buffer) => void
  readonly #most: number
  readonly #header = Buffer.alloc(14)
  #headerBytes = 0
  /** of the frame's payload */
  #length = 0
  /** and of that, still to come */
  #left = 0
  /** and of the piece */
  #piece = 0
  /** opcode of the next piece, and whether it begins a message of text as if it were none */
  #opcode = 0
  #retyped = false
  /** mask of a frame whose pieces are passed without one */
  #mask: Buffer | undefined

  /** `most`: longer frames are left as they are, for the library to refuse. */
  constructor(most: number, pass: (bytes: Buffer) => void) {
    this.#most = most
    this.#pass = pass
  }

  read(chunk: Buffer): void {
    if (this.bytes > 0) this.bytes += CHUNK_BYTES
    let at = 0
    /** where in the chunk begins what is to be passed, and where it ends */
    let [from, end] = [0, 0]
    const pass = (next: number) => {
      if (end > from) this.#pass(chunk.subarray(from, end))
      from = next
    }
    while (at < chunk.length) {
      if (this.#headerBytes < this.#headerLength()) {
        // begun in the chunk before, it has not been passed
        const cut = this.#headerBytes > at - end
        this.#header[this.#headerBytes++] = chunk[at++]
        if (this.#headerBytes < this.#headerLength()) continue
        const changed = this.#beginFrame()
        if (changed || cut) pass(at)
        if (cut && !changed) this.#pass(Buffer.from(this.#header.subarray(0, this.#headerBytes)))
        if (changed) this.#passHeader()
      }
      const taken = Math.min(this.#piece, chunk.length - at)
      if (this.#mask !== undefined)
        unmask(chunk.subarray(at, at + taken), this.#mask, this.#length - this.#left)
      this.#left -= taken
      this.#piece -= taken
      at += taken
      end = at
      if (!this.#control) this.bytes += taken
      if (this.#piece > 0) continue
      if (this.#left > 0) {
        pass(at)
        this.#passHeader()
      } else if (this.#endFrame()) {
        pass(at)
        this.text = false
      }
    }
    pass(at)
  }

  /** Whether the library is to see another header. */
  #beginFrame(): boolean {
    const length = this.#payloadLength()
    this.#length = length
    this.#left = length
    this.#piece = length
    this.#mask = undefined
    if (this.#control) return false
    this.bytes += CHUNK_BYTES
    const [first] = this.#header
    this.#opcode = first & 0x0f
    if (length > this.#most) return false
    const long = length > PIECE
    // text that is no short frame: the library would go over it as a whole
    this.#retyped = this.#opcode === TEXT && (long || (first & FINAL) === 0)
    if (this.#retyped) this.#opcode = BINARY
    const changed = long || this.#retyped
    if (changed && this.#header[1] & MASKED)
      this.#mask = Buffer.from(this.#header.subarray(this.#headerBytes - 4, this.#headerBytes))
    return changed
  }

  #passHeader(): void {
    if (this.#retyped) this.text = true
    this.#retyped = false
    this.#piece = Math.min(PIECE, this.#left)
    const header = Buffer.alloc(14)
    const final = this.#piece === this.#left ? this.#header[0] & FINAL : 0
    header[0] = final | (this.#header[0] & 0x70) | this.#opcode
    header[1] = (this.#header[1] & MASKED) | 127
    header.writeUInt32BE(this.#piece, 6)
    this.#pass(header.subarray(0, this.#mask === undefined ? 10 : 14))
    this.#opcode = 0
  }

  /** Whether a message that is passed as another kind has ended. */
  #endFrame(): boolean {
    this.#headerBytes = 0
    if (this.#control || (this.#header[0] & FINAL) === 0) return false
    this.message++
    this.bytes = 0
    return this.text
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
    if (length === 126) return this.#header.readUInt16BE(2)
    return length === 127 ? Number(this.#header.readBigUInt64BE(2)) : length
  }
}
