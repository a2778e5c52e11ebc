/** A piece of the store as the body of a request. */
import type { BodyFormat } from '../formats/body.ts'
import type { Source } from '../pipeline/decode.ts'
import type { Stored } from './job.ts'
import { readWhole, type Store } from './store.ts'

export class StoredSource implements Source {
  readonly format: BodyFormat
  readonly declaredBytes: number
  readonly client: string
  readonly #store: Store
  readonly #stored: Stored

  constructor(store: Store, stored: Stored & { format: BodyFormat }, client: string) {
    this.#store = store
    this.#stored = stored
    this.declaredBytes = stored.bytes
    this.format = stored.format
    this.client = client
  }

  async read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<void> {
    for await (const { buffer, byteOffset, byteLength } of readWhole(this.#store, this.#stored)) {
      await take(Buffer.from(buffer, byteOffset, byteLength))
    }
  }
}
