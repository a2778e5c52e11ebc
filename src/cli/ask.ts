/** A server that a command asks: one that is there, or one that is started for it alone. */
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { RequestOptions } from 'node:https'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Reply {
  status: number
  type: string
  body: Buffer
}

export interface Asked extends AsyncDisposable {
  post(path: string, body: Buffer, headers: Record<string, string>): Promise<Reply>
  /** estimated seconds that are left, where that is known */
  secondsLeft?(): number
}

export function askServer(url: string): Asked {
  const base = URL.parse(url)
  if (base === null || !/^https?:$/.test(base.protocol))
    throw new Error(`expected an http or https URL, got ${url}`)
  const key = process.env.ATTENTION_SERVER_KEY
  const authorization: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {}
  const prefix = base.pathname.replace(/\/$/, '')
  return {
    post: (path, body, headers) =>
      send(new URL(prefix + path, base), {}, body, { ...headers, ...authorization }),
    async [Symbol.asyncDispose]() {},
  }
}

/** What one command computes may take as long as it does. */
const PATIENT = { DEADLINE_SECONDS: '86400', MAX_FLOPS: '1e18' }

/** Nobody else gets there: no key is asked for. */
const APART = { AUTH: 'off', HOST: '127.0.0.1' }

/** The whole service, in this process, on a socket that only this user can reach; nothing is logged. */
export async function askOurselves(): Promise<Asked> {
  await import('../revectorize.ts')
  const [{ default: pino }, { buildApp }, { readConfig }] = await Promise.all([
    import('pino'),
    import('../app.ts'),
    import('../config.ts'),
  ])
  const config = readConfig({ ...PATIENT, ...process.env, ...APART })
  const app = await buildApp(config, pino({ level: 'silent' }))
  const folder = await mkdtemp(join(tmpdir(), 'attention-server-'))
  const name = `attention-server-${process.pid}`
  const socketPath = process.platform === 'win32' ? join('\\\\.\\pipe', name) : join(folder, 'socket')
  await app.fastify.listen({ path: socketPath })
  return {
    post: (path, body, headers) => send(new URL(path, 'http://localhost'), { socketPath }, body, headers),
    secondsLeft: () => app.engine.backlogSeconds,
    async [Symbol.asyncDispose]() {
      await app.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The commonest of what keeps a server from being reached, in words. */
const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  ECONNRESET: 'the connection was cut',
}

function send(url: URL, more: RequestOptions, body: Buffer, headers: Record<string, string>): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const failed = (error: NodeJS.ErrnoException) => {
    reject(new Error(`${url.origin} cannot be reached: ${REASONS[error.code ?? ''] ?? error.message}`))
  }
  const take = (response: IncomingMessage) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', failed)
    response.on('end', () => {
      const { statusCode: status = 0, headers } = response
      resolve({ status, type: headers['content-type'] ?? '', body: Buffer.concat(chunks) })
    })
  }
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  const sent = request(
    url,
    { ...more, method: 'POST', headers: { ...headers, 'content-length': body.length } },
    take,
  )
  sent.on('error', failed)
  sent.end(body)
  return promise
}
