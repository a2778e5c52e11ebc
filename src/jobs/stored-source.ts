/** A piece of the store as the body of a request. */
import type { BodyFormat } from '../formats/body.ts'
import type { Source } from '../pipeline/decode.ts'
import type { Stored } from './job.ts'
import type { Store } from './store.ts'

export class StoredSource implements Source {
  readonly format: BodyFormat
  readonly declaredBytes: number
  readonly client: string
  readonly #store: Store
  readonly #name: string

  constructor(store: Store, { name, bytes, format }: Stored & { format: BodyFormat }, client: string) {
    this.#store = store
    this.#name = name
    this.declaredBytes = bytes
    this.format = format
    this.client = client
  }

  async read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<void> {
    for await (const { buffer, byteOffset, byteLength } of this.#store.read(this.#name)) {
      await take(Buffer.from(buffer, byteOffset, byteLength))
    }
  }
}
