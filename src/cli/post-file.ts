/** What commands over a request in a file share: they read it, have it answered, and tell how long that takes. */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { type Asked, askOurselves, askServer, type Reply } from './ask.ts'
import { UsageError } from './command.ts'

export interface FileOptions {
  file: string
  url: string | undefined
  json: boolean
  /** of `--html`, where the command takes it */
  html: string | undefined
}

export function readOptions(args: string[], takesHtml = false): FileOptions {
  const options = {
    url: { type: 'string' },
    json: { type: 'boolean', default: false },
    html: { type: 'string' },
  } as const
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    const { url, json, html } = values
    if (positionals.length !== 1) throw new Error(`expected one file, got ${positionals.length}`)
    if (html !== undefined && !takesHtml) throw new Error("Unknown option '--html'")
    return { file: positionals[0], url, json, html }
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

const MEDIA_TYPES = { json: 'application/json', safetensors: 'application/x-safetensors' }

export interface FileRequest {
  body: Buffer
  /** its media type */
  type: string
}

/** By what it is called, or else by how it begins. */
export async function readRequest(file: string): Promise<FileRequest> {
  const body = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `${file} cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
    )
  })
  const isText =
    file.endsWith('.json') ||
    (!file.endsWith('.safetensors') && /^\s*\{/.test(body.toString('latin1', 0, 64)))
  return { body, type: isText ? MEDIA_TYPES.json : MEDIA_TYPES.safetensors }
}

/** By the server of that URL, or by one in this process. */
export async function open(url: string | undefined): Promise<Asked> {
  return url === undefined ? askOurselves() : askServer(url)
}

/** The answer to the request in the file; anything else than an answer is an error that says why. */
export async function postFile(
  asked: Asked,
  path: string,
  { body, type }: FileRequest,
  accept = MEDIA_TYPES.json,
): Promise<Buffer> {
  using _progress = new Progress(asked)
  const reply = await asked.post(path, body, { 'content-type': type, accept })
  if (reply.status !== 200) throw new Error(problemText(path, reply))
  return reply.body
}

function problemText(path: string, { status, type, body }: Reply): string {
  const plain = `${path} answered ${status}`
  if (!type.includes('json')) return plain
  try {
    const {
      code,
      detail,
      errors = [],
    } = JSON.parse(body.toString()) as {
      code?: string
      detail?: string
      errors?: { path: string; message: string }[]
    }
    if (detail === undefined) return plain
    const more = errors.map(({ path, message }) => `\n  ${path}: ${message}`)
    return `${status} ${code}: ${detail}${errors.length > 1 ? more.join('') : ''}`
  } catch {
    return plain
  }
}

const EVERY_MS = 250

/** A line on stderr that says how long it has taken, where somebody looks. */
class Progress implements Disposable {
  readonly #timer: NodeJS.Timeout | undefined
  readonly #since = performance.now()

  constructor({ secondsLeft }: Asked) {
    if (!process.stderr.isTTY) return
    this.#timer = setInterval(() => {
      const seconds = (performance.now() - this.#since) / 1000
      const left = secondsLeft?.() ?? 0
      const rest = left >= 1 ? `, about ${Math.ceil(left)} s left` : ''
      process.stderr.write(`\r\x1b[Kcomputing: ${seconds.toFixed(0)} s${rest}`)
    }, EVERY_MS)
  }

  [Symbol.dispose](): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    process.stderr.write('\r\x1b[K')
  }
}
