/** Safetensors files of the store: their heads, and stretches of them, without reading the rest. */
import { readPart, type Store } from '../store.ts'

export interface Entry {
  dtype: string
  shape: number[]
  /** bytes in the file */
  start: number
  end: number
}

export interface Head {
  tensors: Map<string, Entry>
  metadata: Record<string, string>
}

/** Bytes of an element, by the format's names. */
export const ELEMENT_BYTES: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  BOOL: 1,
  U8: 1,
  I32: 4,
}

export async function readHead(store: Store, name: string): Promise<Head> {
  const first = await collect(readPart(store, name, 0, 8))
  const length = Number(first.readBigUInt64LE(0))
  const text = await collect(readPart(store, name, 8, 8 + length))
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(text.toString())
  const tensors = new Map<string, Entry>()
  for (const [tensor, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets } = entry as { dtype: string; shape: number[]; data_offsets: number[] }
    const [start, end] = data_offsets.map(offset => 8 + length + offset)
    tensors.set(tensor, { dtype, shape, start, end })
  }
  return { tensors, metadata }
}

/** The head of a file whose tensors follow in this order. */
export function writeHead(
  entries: { name: string; dtype: string; shape: number[] }[],
  metadata: Record<string, string>,
): { head: Buffer; bytes: number } {
  let bytes = 0
  const fields = entries.map(({ name, dtype, shape }) => {
    const start = bytes
    bytes += shape.reduce((product, extent) => product * extent, ELEMENT_BYTES[dtype])
    return [name, { dtype, shape, data_offsets: [start, bytes] }]
  })
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(fields) }))
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ')
  head.writeBigUInt64LE(BigInt(head.length - 8))
  json.copy(head, 8)
  return { head, bytes: head.length + bytes }
}

/** Bytes one after the other, in pieces that their reader chooses. */
export class Stretch {
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  async *take(bytes: number): AsyncGenerator<Uint8Array> {
    for (let left = bytes; left > 0; ) {
      const piece = await this.#next(left)
      left -= piece.length
      yield piece
    }
  }

  async skip(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; ) left -= (await this.#next(left)).length
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
  }

  async #next(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#pieces.next()
      if (done) throw new Error('expected more bytes of a piece of the store, got its end')
      this.#rest = value
    }
    const piece = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(piece.length)
    return piece
  }
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all)
}
