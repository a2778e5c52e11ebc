/** Settings, from the environment; and the version. */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import * as z from 'zod'
import { processors } from './processors.ts'

export const VERSION: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version

/** Connections that wait for the server to take them: with Node's 511 a burst of a thousand had resets. Linux cuts it down to net.core.somaxconn. */
export const LISTEN_BACKLOG = 4096

const MIB = 1024 * 1024
const GIB = 1024 * MIB

/** Of the container where there is one with a limit, else of the machine. */
const memory = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)

const whole = (fallback: number, minimum = 1) => z.coerce.number().int().min(minimum).default(fallback)
const url = (protocols: string[]) =>
  z.string().refine(text => protocols.includes(URL.parse(text)?.protocol ?? ''), {
    error: `expected a URL that begins with ${protocols.map(protocol => `${protocol}//`).join(' or ')}`,
  })
const seconds = (fallback: number) => z.coerce.number().positive().default(fallback)

function isOrigin(text: string): boolean {
  return text === '*' || (URL.canParse(text) && new URL(text).origin === text)
}

function isHostName(text: string): boolean {
  return text === '*' || /^[a-z0-9_]([\w-]*[a-z0-9_])?(\.[a-z0-9_]([\w-]*[a-z0-9_])?)*$/.test(text)
}

/** By which names pages may reach it; undefined: by any. Where keys are asked for, a page of another name has none. */
export function hostNames({ AUTH, HOST, ALLOWED_HOSTS: names }: Config): readonly string[] | undefined {
  return names.length > 0 || (AUTH === 'off' && isLoopback(HOST)) ? names : undefined
}

/** An address whose answers are believed: https, or on this machine. */
export function isTrusted(text: string): boolean {
  const { protocol, hostname } = URL.canParse(text) ? new URL(text) : { protocol: '', hostname: '' }
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))
}

const provider = z.string().refine(isTrusted, 'expected an https address, or http on loopback').optional()

/** Every setting, read from the environment; the README's table is checked against this. */
const environment = z.object({
  HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  PORT: whole(8080, 0).describe('port to listen on; 0 takes a free one'),
  THREADS: whole(processors()).describe('compute workers'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('pino level'),
  MAX_BODY_BYTES: whole(256 * MIB).describe(
    'largest request body (half of MEMORY_BYTES at most); larger ones are a 413',
  ),
  MAX_REQUEST_BYTES: whole(Math.min(3 * GIB, Math.floor(memory / 3))).describe(
    'most tensor memory one request may take; more is a 413',
  ),
  MEMORY_BYTES: whole(Math.min(4 * GIB - 64 * 1024, Math.floor(memory / 2))).describe(
    'tensor memory of the whole server (at most 4 GiB); a request that finds none free is a 503',
  ),
  MAX_FLOPS: z.coerce
    .number()
    .positive()
    .default(2e13)
    .describe('most floating-point operations one request may ask for; more is a 413'),
  QUEUE_SECONDS: seconds(30).describe(
    'compute time that may come before a request, by the measured speed, of each large one as much as the request itself takes; more is a 503',
  ),
  DEADLINE_SECONDS: seconds(120).describe(
    'time a request may take, from its head to the end of its answer; past it a 504 (while its body is still arriving, a 408)',
  ),
  BODY_SECONDS: seconds(120).describe(
    'time a request or a message may take to arrive; past it, or where it comes slower than 16 KiB a second, a 408',
  ),
  STREAM_IDLE_SECONDS: seconds(300).describe(
    'time a streamed run may wait for its client to read or to give credit, and maps are kept for `fetch`',
  ),
  RUN_SECONDS: seconds(1800).describe(
    'time a streamed run may take in all, with the time it waits for its client and its maps are kept; past it a 504',
  ),
  KEEP_ALIVE_SECONDS: seconds(130).describe(
    'time a connection is kept without a request: longer than proxies and pools hold theirs',
  ),
  LINGER_BYTES: whole(64 * MIB, 0).describe(
    'of the body of a request that is refused early, so much is taken in and thrown away (for 5 s at most), for its sender to read the answer',
  ),
  SHUTDOWN_DELAY_SECONDS: z.coerce
    .number()
    .min(0)
    .default(5)
    .describe(
      'time after SIGTERM in which requests are still served, `/health/ready` being 503 already; SIGINT or a second signal skips it',
    ),
  DRAIN_SECONDS: seconds(60).describe('time that accepted requests have to finish after SIGTERM'),
  AUTH: z
    .enum(['keys', 'oidc', 'off'])
    .optional()
    .describe(
      'who may come: `keys` (those of `KEYS_FILE`), `oidc` (tokens of `OIDC_ISSUER`) or `off` (everybody); without it `off` on loopback, and no start on any other address',
    ),
  KEYS_FILE: z
    .string()
    .optional()
    .describe('the keys of `AUTH=keys`, written by `attention-server keys`; read again when it changes'),
  OIDC_ISSUER: provider.describe('the OpenID provider of `AUTH=oidc`, as its tokens name it in `iss`'),
  OIDC_AUDIENCE: z.string().optional().describe('what its tokens must name in `aud`: this service'),
  OIDC_JWKS_URL: provider.describe(
    'where its keys are; without it the provider is asked (OpenID Connect Discovery)',
  ),
  OIDC_REQUESTS_PER_MINUTE: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .describe('requests a minute of everybody who has a token of `AUTH=oidc`, each; no limit without it'),
  OIDC_FLOPS_PER_MINUTE: z.coerce
    .number()
    .positive()
    .optional()
    .describe('floating-point operations a minute of everybody who has a token, each; no limit without it'),
  METRICS_PUBLIC: z
    .stringbool()
    .default(false)
    .describe('whether `/metrics` needs no key where `AUTH` is on; health never does'),
  STREAMS_PER_KEY: whole(32).describe('streams that one key may have open at once; one more is a 429'),
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform(text => text.split(',').flatMap(each => each.trim() || []))
    .refine(all => all.every(isOrigin), 'expected origins as https://example.org, with commas between, or *')
    .describe(
      'origins (`https://example.org`, with commas between) whose web pages may read answers and open streams; without it only the page of this server',
    ),
  ALLOWED_HOSTS: z
    .string()
    .default('')
    .transform(text => text.split(',').flatMap(each => each.trim().toLowerCase() || []))
    .refine(
      all => all.every(isHostName),
      'expected names as attention.example, without ports, with commas between, or *',
    )
    .describe(
      'names (`attention.example`, with commas between, or `*`) by which browsers may reach it, beside localhost, addresses and https; without it any where `AUTH` is on or others reach it, else none',
    ),
  JOB_SECONDS: seconds(3600).describe('time a job may run; past it, it has failed with a 504'),
  JOB_RESULT_SECONDS: seconds(3600).describe('time the result of a job is kept; past it a 410'),
  JOBS_AT_ONCE: whole(2).describe('jobs that this server runs at a time'),
  JOBS_PER_KEY: whole(4).describe('jobs of one key (without keys: of one address) that run at a time'),
  JOBS_QUEUED: whole(1000).describe(
    'jobs that may wait or run; more is a 503, and more than half of them of one key a 429',
  ),
  JOB_LOCK_SECONDS: seconds(30).describe(
    'time after which a job whose server says nothing any more is run by another',
  ),
  REDIS_URL: url(['redis:', 'rediss:'])
    .optional()
    .describe(
      'Redis that holds the queue of jobs, and where `AUTH` is on what keys have used and tickets, for several servers; without it all that is in the process',
    ),
  STORE_URL: url(['file:', 's3:'])
    .optional()
    .describe(
      'where inputs and results of jobs lie: `file:///folder` or `s3://bucket/prefix`; needed beside REDIS_URL. Default: a folder of its own among the temporary files',
    ),
  STORE_BYTES: whole(4 * GIB).describe('most bytes of jobs in that default folder; more is a 503'),
  MODELS_DIR: z
    .string()
    .optional()
    .describe(
      'folder of models, one folder each as `save_pretrained` writes it, beside those that come with the service (`lesson`)',
    ),
  MODEL_MEMORY_BYTES: whole(Math.min(2 * GIB, Math.floor(memory / 4))).describe(
    'of MEMORY_BYTES, what weights of models may take; the least recently used models leave, a larger one is a 413',
  ),
  KERNELS: z
    .enum(['auto', 'simd128', 'relaxed', 'wide'])
    .default('auto')
    .describe('float32 kernels: `auto` measures at start-up, a name forces that variant'),
})

type Settings = z.infer<typeof environment>
const settings = environment.refine(
  ({ REDIS_URL, STORE_URL }) => REDIS_URL === undefined || STORE_URL !== undefined,
  { path: ['STORE_URL'], error: 'expected a folder or bucket that every server reaches, beside REDIS_URL' },
)

export type Config = Settings & { AUTH: NonNullable<Settings['AUTH']> }

/** Its message is for an operator. */
export class WrongSettings extends Error {}

/** Throws with a message that names each setting that is wrong. An empty variable counts as unset. */
export function readConfig(env: Record<string, string | undefined>): Config {
  const known = Object.fromEntries(
    Object.keys(environment.shape).flatMap(key => (env[key] ? [[key, env[key]]] : [])),
  )
  const parsed = settings.safeParse(known)
  if (parsed.success) return decided(parsed.data)
  const wrong = parsed.error.issues.map(({ path, message }) => {
    const value = known[String(path[0])]
    const found = value === undefined ? ' is not set' : `=${withoutSecrets(value)}`
    return `${path.join('.')}${found}: ${message}`
  })
  throw new WrongSettings(wrong.join('; '))
}

/** Whether one of OpenTelemetry's own variables says that something is to be sent somewhere. */
export function wantsTelemetry(env: Record<string, string | undefined>): boolean {
  if (env.OTEL_SDK_DISABLED === 'true') return false
  const exporters = ['OTEL_TRACES_EXPORTER', 'OTEL_METRICS_EXPORTER'].map(name => env[name] || undefined)
  if (exporters.every(name => name === 'none')) return false
  const places = ['', '_TRACES', '_METRICS'].map(kind => env[`OTEL_EXPORTER_OTLP${kind}_ENDPOINT`])
  return [...places, ...exporters].some(value => value && value !== 'none')
}

/** An address may hold a name and a password. */
function withoutSecrets(value: string): string {
  return value.replace(/\/\/[^/]*@/g, '//…@')
}

/** A service that others can reach is open to all of them only where somebody has said so. */
function decided(settings: Settings): Config {
  const { HOST, AUTH = isLoopback(HOST) ? 'off' : undefined, KEYS_FILE } = settings
  if (AUTH === undefined) {
    throw new WrongSettings(
      `HOST=${HOST} can be reached by others, and AUTH is not set: set AUTH=keys and KEYS_FILE, AUTH=oidc, ` +
        'OIDC_ISSUER and OIDC_AUDIENCE, or AUTH=off where nobody else gets there or something before it asks who comes',
    )
  }
  if (AUTH === 'keys' && KEYS_FILE === undefined)
    throw new WrongSettings(
      'AUTH=keys: set KEYS_FILE to the file that `attention-server keys add NAME --file F` writes',
    )
  if (AUTH === 'oidc' && (settings.OIDC_ISSUER === undefined || settings.OIDC_AUDIENCE === undefined))
    throw new WrongSettings(
      'AUTH=oidc: set OIDC_ISSUER to the provider’s address and OIDC_AUDIENCE to what its tokens name this service',
    )
  return { ...settings, AUTH }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|(0{0,4}:){2,7}0{0,3}1|::ffff:127(\.\d{1,3}){3})$/i.test(host)
}

/** Name and meaning of every setting. */
export const SETTINGS = Object.entries(environment.shape).map(([name, { description = '' }]) => ({
  name,
  description,
}))
