/**
 * Bodies that come in a content coding. They are unpacked as they come, in zlib's threads and with back-pressure, and given up where
 * they unpack too far: what packs a hundred times smaller is no request, but an attempt.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable, Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import { shortened } from '../../workers/text/json-pointer.ts'
import { Problem } from '../problem.ts'

/** What is taken, as `Accept-Encoding` says it. */
const CODINGS = 'gzip, br, zstd, deflate'
/** Times that a body may be larger than what came of it. */
const MOST_RATIO = 100
/** Of the pieces that are unpacked. */
const chunkSize = 64 * 1024
/** 8 MiB: what RFC 9659 lets senders ask for. */
const ZSTD_WINDOW = { [zlib.constants.ZSTD_d_windowLogMax]: 23 }

/** `first`: the first byte of what comes. */
const UNPACKED: Record<string, (first: number) => Transform> = {
  gzip: () => zlib.createGunzip({ chunkSize }),
  'x-gzip': () => zlib.createGunzip({ chunkSize }),
  br: () => zlib.createBrotliDecompress({ chunkSize }),
  zstd: () => zlib.createZstdDecompress({ chunkSize, params: ZSTD_WINDOW }),
  // by the standard with zlib's two bytes before it; some send it without
  deflate: first => ((first & 0x0f) === 8 ? zlib.createInflate : zlib.createInflateRaw)({ chunkSize }),
}

/** The coding of a body, undefined where it has none. Throws a 415. */
export function codingOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const codings = header.split(',').map(each => each.trim().toLowerCase())
  const [coding, second] = codings.filter(each => each !== 'identity' && each !== '')
  if (coding === undefined) return undefined
  if (second === undefined && Object.hasOwn(UNPACKED, coding)) return coding
  const detail = `expected one content coding of ${CODINGS}, got ${shortened(header)}`
  throw new Problem('UNSUPPORTED_MEDIA_TYPE', detail, { headers: { 'accept-encoding': CODINGS } })
}

/** `begin` is given the unpacked bytes as a stream, once there is something; `fail` may be called at any time. */
export function unpack(
  message: IncomingMessage,
  coding: string,
  begin: (unpacked: Readable) => void,
  fail: (problem: Problem) => void,
): void {
  const damaged = () => fail(new Problem('INVALID_COMPRESSION', `expected a body in ${coding}, got none`))
  const declared = Number(message.headers['content-length'] ?? 0)
  let packed = 0
  message.once('end', () => {
    if (packed === 0) damaged()
  })
  message.once('data', (first: Buffer) => {
    const unpacked = UNPACKED[coding](first[0])
    let bytes = 0
    unpacked.on('error', damaged)
    unpacked.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      const most = MOST_RATIO * Math.max(declared, packed)
      if (bytes <= most) return
      const detail = `expected a body that unpacks to at most ${MOST_RATIO} times its size, got more than ${most} bytes`
      fail(new Problem('BODY_TOO_LARGE', detail))
    })
    begin(unpacked)
    packed = first.length
    message.on('data', (chunk: Buffer) => {
      packed += chunk.length
    })
    unpacked.write(first)
    message.pipe(unpacked)
  })
}
