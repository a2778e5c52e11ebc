/** Answers in a content coding: the same bytes behind it, and none where it does not pay or may not be. */
import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { chosen } from '../../../src/http/packed-answer.ts'
import { readFile } from '../safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from '../server.ts'

const server = await startServer({ THREADS: '1' })
const { hostname, port } = new URL(server.url)

const UNPACK: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: bytes => zlib.gunzipSync(bytes),
  deflate: bytes => zlib.inflateSync(bytes),
  br: bytes => zlib.brotliDecompressSync(bytes),
  zstd: bytes => zlib.zstdDecompressSync(bytes),
}

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  bytes: Buffer
}

function send(path: string, body: object | undefined, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const message = httpRequest(
      {
        hostname,
        port,
        path,
        method: body ? 'POST' : 'GET',
        headers: { 'content-type': JSON_TYPE, ...headers },
      },
      async answer => {
        const chunks: Buffer[] = []
        for await (const chunk of answer) chunks.push(chunk)
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, bytes: Buffer.concat(chunks) })
      },
    )
    message.on('error', reject)
    message.end(body && JSON.stringify(body))
  })
}

/** Maps of n·n weights: small, inline (some 10 kB), and streamed (some MB). */
const bodyOf = (n: number) => {
  const x = Array.from({ length: n }, (_, i) => [Math.sin(i), Math.cos(i)])
  return { q: x, k: x, v: x, causal: true, return: ['output', 'weights'] }
}
const INLINE = bodyOf(60)
const STREAMED = bodyOf(700)

describe.each(Object.keys(UNPACK))('an answer in %s', coding => {
  it.each([
    ['that is inline', INLINE],
    ['that is streamed', STREAMED],
  ])('%s has the bytes that it has without', async (_name, body) => {
    const before = server.app.engine.arena.usedBytes
    const plain = await send('/v1/attention', body, {})
    expect(plain.headers['content-encoding']).toBeUndefined()
    const packed = await send('/v1/attention', body, { 'accept-encoding': coding })
    expect(packed.headers).toMatchObject({ 'content-encoding': coding, vary: 'accept-encoding' })
    expect(packed.headers['content-type']).toBe(plain.headers['content-type'])
    expect(packed.headers['server-timing']).toMatch(/compute;dur=\d+\.\d+/)
    expect(UNPACK[coding](packed.bytes).equals(plain.bytes)).toBe(true)
    expect(packed.bytes.length).toBeLessThan(0.7 * plain.bytes.length)
    expect(await settled(server, before)).toBe(before)
  })

  it('of tensors, where they get smaller', async () => {
    const headers = { accept: SAFETENSORS_TYPE, 'accept-encoding': coding }
    for (const body of [INLINE, STREAMED]) {
      const { bytes, headers: sent } = await send('/v1/attention', body, headers)
      expect(sent['content-encoding']).toBe(coding)
      expect(Object.keys(readFile(UNPACK[coding](bytes)).tensors)).toEqual(['output', 'weights'])
    }
    const random = Array.from({ length: 40_000 }, (_, i) => [Math.sin(i * i * 1.1), Math.cos(i * i * 0.7)])
    const dense = { q: random, k: [[1, 0]], v: [[1, 0]], return: ['scores'] }
    const plain = await send('/v1/attention', dense, headers)
    expect([plain.status, plain.headers['content-encoding']]).toEqual([200, undefined])
    expect(plain.bytes.length).toBe(Number(plain.headers['content-length']))
    expect(readFile(plain.bytes).tensors.scores.shape).toEqual([40_000, 1])
  })
})

describe('an answer leaves as it is', () => {
  it('where it is short, or refused', async () => {
    const headers = { 'accept-encoding': 'gzip' }
    expect((await send('/v1/attention', bodyOf(3), headers)).headers['content-encoding']).toBeUndefined()
    const refused = await send('/v1/attention', { q: 'x' }, headers)
    expect([refused.status, refused.headers['content-encoding']]).toEqual([400, undefined])
  })

  it('where its digest is asked for, which is that of the bytes that come', async () => {
    for (const body of [INLINE, STREAMED]) {
      const headers = { 'accept-encoding': 'gzip', 'want-repr-digest': 'sha-256=1' }
      const { headers: sent, bytes } = await send('/v1/attention', body, headers)
      expect(sent['content-encoding']).toBeUndefined()
      const digest = createHash('sha256').update(bytes).digest('base64')
      expect(sent['repr-digest']).toBe(`sha-256=:${digest}:`)
    }
  })

  it('where its client has rather none', async () => {
    for (const accepted of ['identity', 'gzip;q=0', 'compress', '', 'identity, gzip;q=0.5'])
      expect(
        (await send('/v1/attention', INLINE, { 'accept-encoding': accepted })).headers['content-encoding'],
      ).toBeUndefined()
  })
})

it('documents, metrics and the page’s files are packed, too', async () => {
  const plain = await send('/openapi.json', undefined, {})
  const packed = await send('/openapi.json', undefined, { 'accept-encoding': 'gzip, deflate, br, zstd' })
  expect(packed.headers['content-encoding']).toBe('zstd')
  expect(zlib.zstdDecompressSync(packed.bytes).equals(plain.bytes)).toBe(true)
  expect((await send('/metrics', undefined, { 'accept-encoding': 'gzip' })).headers['content-encoding']).toBe(
    'gzip',
  )
})

it('a client that leaves while a packed answer is written leaves nothing', async () => {
  const before = server.app.engine.arena.usedBytes
  const headers = { 'content-type': JSON_TYPE, 'accept-encoding': 'gzip' }
  const message = httpRequest({ hostname, port, path: '/v1/attention', method: 'POST', headers })
  message.on('error', () => {})
  message.on('response', answer => answer.once('data', () => message.destroy()))
  message.end(JSON.stringify(bodyOf(1200)))
  await new Promise(resolve => message.once('close', resolve))
  expect(await settled(server, before)).toBe(before)
})

it.each([
  ['gzip, deflate, br, zstd', 'zstd'],
  ['gzip, deflate', 'gzip'],
  ['gzip;q=0.8, br;q=0.9', 'br'],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['*', 'zstd'],
  ['*;q=0', undefined],
  ['zstd;q=0, *', 'br'],
  ['gzip;q=x', undefined],
  ['gzip, identity', 'gzip'],
  ['identity, gzip;q=0.9', undefined],
])('Accept-Encoding: %s', (accepted, expected) => expect(chosen(accepted)).toBe(expected))
