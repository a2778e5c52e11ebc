/** As much of S3 as the store asks for, in memory: put, multipart uploads, get with ranges, head, list, delete. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

export class S3Server {
  readonly objects = new Map<string, Buffer>()
  /** answered to every request, where it is set */
  failing: number | undefined
  puts = 0
  readonly #uploads = new Map<string, Map<number, Buffer>>()
  readonly #server: Server

  static async start(): Promise<S3Server> {
    const s3 = new S3Server()
    s3.#server.listen(0, '127.0.0.1')
    await once(s3.#server, 'listening')
    return s3
  }

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return `http://127.0.0.1:${address.port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const raw = Buffer.concat(chunks)
    const body = request.headers['content-encoding']?.includes('aws-chunked') ? unchunked(raw) : raw
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://s3')
    const key = decodeURIComponent(pathname.slice(1))
    if (this.failing !== undefined) {
      response.writeHead(this.failing).end()
      return
    }
    const [status, answer, headers = {}] = this.#act(request, key, searchParams, body)
    response.writeHead(status, { etag: '"0"', ...headers, 'content-length': answer.length })
    response.end(request.method === 'HEAD' ? undefined : answer)
  }

  #act(
    { method, headers }: IncomingMessage,
    key: string,
    query: URLSearchParams,
    body: Buffer,
  ): [number, Buffer, Record<string, string>?] {
    const upload = query.get('uploadId')
    const object = this.objects.get(key)
    if (method === 'POST' && query.has('uploads')) {
      const id = randomUUID()
      this.#uploads.set(id, new Map())
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
    }
    if (method === 'PUT' && upload !== null) {
      this.#uploads.get(upload)?.set(Number(query.get('partNumber')), body)
      return [200, Buffer.alloc(0)]
    }
    if (method === 'POST' && upload !== null) {
      const parts = [...(this.#uploads.get(upload) ?? [])].sort(([a], [b]) => a - b)
      this.objects.set(key, Buffer.concat(parts.map(([, part]) => part)))
      this.puts++
      return xml('<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>')
    }
    if (method === 'PUT') {
      this.objects.set(key, body)
      this.puts++
      return [200, Buffer.alloc(0)]
    }
    if (method === 'POST' && query.has('delete')) {
      const bucket = key.replace(/\/$/, '')
      for (const [, name] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g))
        this.objects.delete(`${bucket}/${name}`)
      return xml('<DeleteResult/>')
    }
    if (query.get('list-type') === '2') {
      const bucket = key.replace(/\/?$/, '/')
      const found = [...this.objects.keys()].filter(name => name.startsWith(bucket + query.get('prefix')))
      const contents = found.map(name => `<Contents><Key>${name.slice(bucket.length)}</Key></Contents>`)
      return xml(`<ListBucketResult>${contents.join('')}</ListBucketResult>`)
    }
    if (object === undefined) return [404, Buffer.from('<Error><Code>NoSuchKey</Code></Error>')]
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
    if (from === undefined) return [200, object]
    const end = to === '' ? object.length : Number(to) + 1
    const part = object.subarray(Number(from), end)
    return [206, part, { 'content-range': `bytes ${from}-${end - 1}/${object.length}` }]
  }
}

function xml(text: string): [number, Buffer, Record<string, string>] {
  return [200, Buffer.from(`<?xml version="1.0"?>${text}`), { 'content-type': 'application/xml' }]
}

/** A body that the SDK sends in signed or checked chunks. */
function unchunked(raw: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < raw.length; ) {
    const end = raw.indexOf('\r\n', at)
    const size = Number.parseInt(raw.subarray(at, end).toString().split(';')[0], 16)
    if (!size) break
    pieces.push(raw.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
  return Buffer.concat(pieces)
}
