/** Bodies in a content coding: the same answers as without, and nothing that unpacks too far. */
import { request as httpRequest } from 'node:http'
import * as zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { float32, writeFile } from '../safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from '../server.ts'

const MIB = 1 << 20
const server = await startServer({
  MAX_BODY_BYTES: String(8 * MIB),
  THREADS: '1',
  LINGER_BYTES: String(8 * MIB),
})
const { hostname, port } = new URL(server.url)

const PACK: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: bytes => zlib.gzipSync(bytes),
  'x-gzip': bytes => zlib.gzipSync(bytes),
  br: bytes => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: bytes => zlib.zstdCompressSync(bytes),
  deflate: bytes => zlib.deflateSync(bytes),
}
const CODINGS = Object.keys(PACK)

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

/** Sends bytes as they are, in pieces; without a length they are chunked. */
function send(body: Buffer, headers: Record<string, string>, pieces = 1, length = true): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { 'content-type': JSON_TYPE, ...(length && { 'content-length': body.length }), ...headers }
    const message = httpRequest(
      { hostname, port, path: '/v1/attention', method: 'POST', headers: all },
      async answer => {
        let text = ''
        for await (const chunk of answer.setEncoding('utf8')) text += chunk
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text })
      },
    )
    message.on('error', reject)
    const size = Math.ceil(body.length / pieces)
    for (let at = 0; at < body.length; at += size) message.write(body.subarray(at, at + size))
    message.end()
  })
}

/** Of about `rows`·16 bytes, of numbers that do not pack far. */
const rowsOf = (rows: number) => Array.from({ length: rows }, (_, i) => [Math.sin(i), Math.cos(i)])
const bodyOf = (rows: number) => {
  const x = rowsOf(rows)
  return Buffer.from(JSON.stringify({ q: [[0.5, 1]], k: x, v: x }))
}
const code = ({ text }: Answer) => JSON.parse(text).code

describe.each(CODINGS)('a body in %s', coding => {
  const packed = (body: Buffer, more = {}) => ({
    body: PACK[coding](body),
    headers: { 'content-encoding': coding, ...more },
  })

  it.each([
    ['small', 3, 1],
    ['byte by byte', 3, 1000],
    ['large', 20_000, 7],
  ])('%s: the answer that it has without', async (_name, rows, pieces) => {
    const before = server.app.engine.arena.usedBytes
    const plain = await send(bodyOf(rows), {})
    expect(plain.status).toBe(200)
    const { body, headers } = packed(bodyOf(rows))
    expect((await send(body, headers, pieces)).text).toBe(plain.text)
    expect((await send(body, headers, pieces, false)).text).toBe(plain.text)
    expect(await settled(server, before)).toBe(before)
  })

  it('that is safetensors', async () => {
    const tensor = float32([1], [1, 1])
    const file = writeFile({ q: tensor, k: tensor, v: tensor }, {})
    const { body, headers } = packed(file, { 'content-type': SAFETENSORS_TYPE })
    expect(await send(body, headers)).toMatchObject({ status: 200, text: '{"output":[[1]]}' })
  })

  it('that unpacks to more than MAX_BODY_BYTES, or a hundred times its size: 413', async () => {
    const before = server.app.engine.arena.usedBytes
    const random = Buffer.from(
      JSON.stringify({
        q: Buffer.from(
          Int32Array.from({ length: (9 * MIB) >> 2 }, (_, at) => at * at * 7919).buffer,
        ).toString('base64'),
      }),
    )
    const large = packed(random)
    const beyond = await send(large.body, large.headers, 9)
    expect([beyond.status, code(beyond)]).toEqual([413, 'BODY_TOO_LARGE'])
    for (const bytes of [100_000, 4 * MIB, 64 * MIB]) {
      const { body, headers } = packed(Buffer.alloc(bytes, 0x20))
      for (const length of [true, false]) {
        const answer = await send(body, headers, 1, length)
        expect([bytes, answer.status, code(answer)]).toEqual([bytes, 413, 'BODY_TOO_LARGE'])
      }
    }
    expect(await settled(server, before)).toBe(before)
  })

  it('that is cut off, changed or something else: 400', async () => {
    const { body, headers } = packed(bodyOf(500))
    const other = Buffer.from('{"q":[[1]],"k":[[1]],"v":[[1]]}')
    for (const wrong of [body.subarray(0, body.length - 9), other, Buffer.alloc(0)]) {
      const answer = await send(wrong, headers)
      expect([answer.status, code(answer)]).toEqual([400, 'INVALID_COMPRESSION'])
    }
  })
})

describe('the coding', () => {
  it('may be written in any case, and identity beside it', async () => {
    const body = PACK.gzip(bodyOf(3))
    expect((await send(body, { 'content-encoding': 'GZip' })).status).toBe(200)
    expect((await send(body, { 'content-encoding': 'identity, gzip' })).status).toBe(200)
    expect((await send(bodyOf(3), { 'content-encoding': 'identity' })).status).toBe(200)
  })

  it('deflate may come without the two bytes before it', async () => {
    expect((await send(zlib.deflateRawSync(bodyOf(3)), { 'content-encoding': 'deflate' })).status).toBe(200)
  })

  it.each(['lzw', 'compress', 'gzip, gzip', 'br, gzip', 'constructor'])(
    '%s: 415, with what is taken',
    async coding => {
      const answer = await send(PACK.gzip(bodyOf(3)), { 'content-encoding': coding })
      expect([answer.status, code(answer)]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
      expect(answer.headers['accept-encoding']).toBe('gzip, br, zstd, deflate')
    },
  )

  it('of a plan, too', async () => {
    const body = zlib.gzipSync(
      JSON.stringify({ endpoint: '/v1/attention', body: { q: [[1]], k: [[1]], v: [[1]] } }),
    )
    const headers = { 'content-type': JSON_TYPE, 'content-encoding': 'gzip' }
    const answer = await fetch(`${server.url}/v1/plan`, { method: 'POST', body, headers })
    expect([answer.status, ((await answer.json()) as { admitted: boolean }).admitted]).toEqual([200, true])
  })
})

it('requests of the Open Inference Protocol come packed, too, with tensors behind their JSON', async () => {
  const inputs = ['q', 'k', 'v'].map(name => ({
    name,
    datatype: 'FP32',
    shape: [1, 1],
    parameters: { binary_data_size: 4 },
  }))
  const text = Buffer.from(JSON.stringify({ inputs }))
  const one = Buffer.from(Float32Array.of(1).buffer)
  for (const [coding, pack] of Object.entries(PACK)) {
    const answer = await fetch(`${server.url}/v2/models/attention/infer`, {
      method: 'POST',
      body: new Uint8Array(pack(Buffer.concat([text, one, one, one]))),
      headers: {
        'content-type': 'application/octet-stream',
        'content-encoding': coding,
        'inference-header-content-length': String(text.length),
      },
    })
    const { outputs } = (await answer.json()) as { outputs: object[] }
    expect([answer.status, outputs]).toEqual([200, [expect.objectContaining({ name: 'output', data: [1] })]])
  }
})

it('a client that leaves in the middle of a packed body leaves nothing', async () => {
  const before = server.app.engine.arena.usedBytes
  const body = zlib.gzipSync(bodyOf(100_000))
  const headers = { 'content-type': JSON_TYPE, 'content-encoding': 'gzip', 'content-length': body.length }
  const message = httpRequest({ hostname, port, path: '/v1/attention', method: 'POST', headers })
  message.on('error', () => {})
  message.write(body.subarray(0, body.length >> 1), () => setTimeout(() => message.destroy(), 50))
  await new Promise(resolve => message.once('close', resolve))
  expect(await settled(server, before)).toBe(before)
  expect((await send(bodyOf(3), {})).status).toBe(200)
})
