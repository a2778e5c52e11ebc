/**
 * Answers in a content coding, where their client takes one (`Accept-Encoding`) and it pays: in zlib's threads, at the levels that
 * keep up with a network. What has a digest or a strong tag of its bytes leaves as it is (RFC 9530, RFC 9110), and so do tensors
 * that hardly get smaller.
 */
import { pipeline, type Readable, type Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'

const { BROTLI_PARAM_QUALITY, ZSTD_c_compressionLevel } = zlib.constants
const level = 1
const brotli = { params: { [BROTLI_PARAM_QUALITY]: 2 } }
const zstd = { params: { [ZSTD_c_compressionLevel]: level } }

type Done = (error: Error | null, packed: Buffer<ArrayBuffer>) => void

interface Coding {
  stream(): Transform
  whole(bytes: Buffer | string, done: Done): void
}

/** In the order in which they are taken where a client likes several as much. */
const CODINGS: Record<string, Coding> = {
  zstd: {
    stream: () => zlib.createZstdCompress(zstd),
    whole: (bytes, done) => zlib.zstdCompress(bytes, zstd, done as never),
  },
  br: {
    stream: () => zlib.createBrotliCompress(brotli),
    whole: (bytes, done) => zlib.brotliCompress(bytes, brotli, done as never),
  },
  gzip: {
    stream: () => zlib.createGzip({ level }),
    whole: (bytes, done) => zlib.gzip(bytes, { level }, done as never),
  },
  deflate: {
    stream: () => zlib.createDeflate({ level }),
    whole: (bytes, done) => zlib.deflate(bytes, { level }, done as never),
  },
}

/** Below it an answer is a few packets with or without. */
export const LEAST_BYTES = 4096
/** Refusals may be read while their body still comes, by the length that they say. */
const TEXT = /^text\/(?!event-stream)|^application\/(json|javascript|xml|x?html|schema\+json)|^image\/svg/
const BINARY = /^application\/(x-safetensors|octet-stream)/
/** Of tensors this much is tried, in several pieces, */
const SAMPLE_BYTES = 32 * 1024
const SAMPLES = 8
/** and the rest is packed where it is no more than this share of its size. */
const WORTH = 0.8

type Payload = Buffer | string | Readable

/** What leaves in the place of an answer. */
export async function packed(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: Payload,
): Promise<Payload> {
  let payload = answer
  const type = String(reply.getHeader('content-type') ?? '')
  const text = TEXT.test(type)
  if (!(text || BINARY.test(type)) || isFixed(request, reply)) return payload
  vary(reply)
  const name = chosen(request.headers['accept-encoding'] ?? '')
  if (name === undefined) return payload
  const { stream, whole } = CODINGS[name]
  if (!text) {
    const [same, worth] = await tried(payload)
    if (!worth) return same
    payload = same
  }
  reply.header('content-encoding', name).removeHeader('content-length')
  if (typeof payload === 'string' || Buffer.isBuffer(payload)) {
    return new Promise((resolve, reject) =>
      whole(payload, (error, bytes) => (error === null ? resolve(bytes) : reject(error))),
    )
  }
  // the reader is told of errors by the end of the stream
  return pipeline(payload, stream(), () => {})
}

/** Its very bytes are spoken of, or are in a coding already. */
function isFixed({ method }: FastifyRequest, reply: FastifyReply): boolean {
  const { statusCode } = reply
  if (method === 'HEAD' || statusCode === 204 || statusCode === 206 || statusCode === 304) return true
  if (reply.hasHeader('content-encoding') || reply.hasHeader('repr-digest')) return true
  if (String(reply.getHeader('cache-control') ?? '').includes('no-transform')) return true
  return String(reply.getHeader('etag') ?? 'W/').startsWith('W/') === false
}

function vary(reply: FastifyReply): void {
  const others = reply.getHeader('vary')
  reply.header('vary', others === undefined ? 'accept-encoding' : `${others}, accept-encoding`)
}

/** By the client's weights (RFC 9110, 12.5.3), and ours where they are the same; undefined where it had rather none. */
export function chosen(accepted: string): string | undefined {
  const weights = new Map<string, number>()
  for (const each of accepted.toLowerCase().split(',')) {
    const [name, ...parameters] = each.split(';').map(part => part.trim())
    const weight = parameters.find(parameter => parameter.startsWith('q='))
    weights.set(name === 'x-gzip' ? 'gzip' : name, weight === undefined ? 1 : Number(weight.slice(2)) || 0)
  }
  let best: string | undefined
  let most = weights.get('identity') ?? 0
  for (const name of Object.keys(CODINGS)) {
    const weight = weights.get(name) ?? weights.get('*') ?? 0
    if (weight > most || (weight === most && weight > 0 && best === undefined)) [best, most] = [name, weight]
  }
  return best
}

/** A payload of tensors, and whether it gets smaller by much. */
async function tried(payload: Payload): Promise<[Payload, boolean]> {
  if (typeof payload === 'string') return [payload, true]
  if (Buffer.isBuffer(payload)) return [payload, shrinks(payload)]
  const { start, ended } = await startOf(payload)
  if (ended) return [start, shrinks(start)]
  payload.unshift(start)
  return [payload, shrinks(start)]
}

/** By pieces from all over it: maps have parts of zeros. */
function shrinks(bytes: Buffer): boolean {
  const piece = SAMPLE_BYTES / SAMPLES
  const step = Math.max(piece, bytes.length / SAMPLES)
  const pieces = Array.from({ length: SAMPLES }, (_, at) => bytes.subarray(at * step, at * step + piece))
  const sample = Buffer.concat(pieces)
  return zlib.zstdCompressSync(sample, zstd).length < WORTH * sample.length
}

/** The first bytes of a stream, which are not in it any more. */
function startOf(stream: Readable): Promise<{ start: Buffer; ended: boolean }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const finish = (ended: boolean) => {
      stream.off('readable', take).off('end', end).off('error', reject)
      resolve({ start: Buffer.concat(chunks), ended })
    }
    const end = () => finish(true)
    const take = () => {
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes >= SAMPLE_BYTES) return finish(false)
      }
    }
    stream.on('readable', take).on('end', end).on('error', reject)
  })
}
