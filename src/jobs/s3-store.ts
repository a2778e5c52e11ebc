/**
 * Jobs in a bucket: `s3://bucket/prefix`, with what the AWS SDK takes from the environment (credentials, region,
 * AWS_ENDPOINT_URL). For another endpoint: `?endpoint=http://host:9000&region=…`. An object is there whole or not at all.
 */
import { Readable } from 'node:stream'
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { Stored } from './job.ts'
import { digestOf, type Pieces, type Store, storeProblem } from './store.ts'

/** S3 takes parts of 5 MiB and more, and 10,000 of them. */
const PART_BYTES = 64 << 20
const MOST_PARTS = 10_000
const UPLOADS = 2

export class S3Store implements Store {
  readonly mostBytes = PART_BYTES * MOST_PARTS
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string

  constructor(url: URL) {
    const endpoint = url.searchParams.get('endpoint') ?? undefined
    const region = url.searchParams.get('region') ?? undefined
    const elsewhere = endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL ?? undefined
    this.#client = new S3Client({
      ...(endpoint && { endpoint }),
      ...(region && { region }),
      // servers of others know buckets by their path
      forcePathStyle: elsewhere !== undefined,
    })
    this.#bucket = url.hostname
    const prefix = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, '')
    this.#prefix = prefix === '' ? '' : `${prefix}/`
  }

  async put(folder: string, pieces: () => Pieces): Promise<Stored> {
    const { digest, bytes } = await digestOf(pieces())
    const name = `${folder}/${digest}`
    const place = this.#place(name)
    await this.#asked(async () => {
      if (await this.#has(place)) return
      const body = Readable.from(copied(pieces()), { objectMode: false })
      const params = { ...place, Body: body, ContentType: 'application/octet-stream' }
      const upload = new Upload({ client: this.#client, params, partSize: PART_BYTES, queueSize: UPLOADS })
      await upload.done()
    })
    return { name, digest, bytes }
  }

  async *read(name: string, from = 0, to?: number): AsyncGenerator<Uint8Array> {
    if (to !== undefined && to <= from) return
    const range = from === 0 && to === undefined ? {} : { Range: `bytes=${from}-${to ? to - 1 : ''}` }
    const { Body } = await this.#asked(() =>
      this.#client.send(new GetObjectCommand({ ...this.#place(name), ...range })),
    )
    const stream = Body as Readable
    try {
      yield* stream
    } catch (error) {
      throw storeProblem(error)
    } finally {
      stream.destroy()
    }
  }

  async remove(folder: string): Promise<void> {
    const { Bucket, Key: Prefix } = this.#place(`${folder}/`)
    for (;;) {
      const { Contents = [] } = await this.#client.send(new ListObjectsV2Command({ Bucket, Prefix }))
      if (Contents.length === 0) return
      const Objects = Contents.map(({ Key }) => ({ Key }))
      await this.#client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }))
    }
  }

  async close(): Promise<void> {
    this.#client.destroy()
  }

  #place(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + name }
  }

  async #has(place: { Bucket: string; Key: string }): Promise<boolean> {
    try {
      await this.#client.send(new HeadObjectCommand(place))
      return true
    } catch (error) {
      if ((error as { name?: string }).name === 'NotFound') return false
      throw error
    }
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw storeProblem(error)
    }
  }
}

/** The uploader keeps pieces that their giver writes over. */
async function* copied(pieces: Pieces): AsyncGenerator<Buffer> {
  for await (const piece of pieces) yield Buffer.from(piece)
}
