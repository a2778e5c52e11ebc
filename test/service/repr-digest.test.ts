/** `Repr-Digest` of RFC 9530, for those who ask. */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from './server.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes

const rows = (count: number) => ({
  shape: [1, 2, count, 16],
  dtype: 'float32',
  base64: Buffer.from(Float32Array.from({ length: 32 * count }, (_, i) => Math.sin(i)).buffer).toString(
    'base64',
  ),
})

async function answer(count: number, accept: string, wanted?: string) {
  const response = await fetch(`${server.url}/v1/attention`, {
    method: 'POST',
    headers: {
      'content-type': JSON_TYPE,
      accept,
      ...(wanted === undefined ? {} : { 'want-repr-digest': wanted }),
    },
    body: JSON.stringify({ q: rows(count), k: rows(count), v: rows(count), return: ['output', 'weights'] }),
  })
  expect(response.status).toBe(200)
  const bytes = Buffer.from(await response.arrayBuffer())
  const own = `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`
  return { digest: response.headers.get('repr-digest'), own }
}

it.each([
  ['a small answer', 3, JSON_TYPE],
  ['a small file', 3, SAFETENSORS_TYPE],
  ['a large answer', 600, JSON_TYPE],
  ['a large file', 600, SAFETENSORS_TYPE],
])('of %s', async (_, count, accept) => {
  for (const wanted of ['sha-256=1', 'sha-512=3, sha-256=10']) {
    const { digest, own } = await answer(count, accept, wanted)
    expect(digest).toBe(own)
  }
  expect(await settled(server, before)).toBe(before)
})

it.each([undefined, 'sha-256=0', 'sha-512=1', 'sha-256', 'nonsense'])('not for %s', async wanted => {
  expect((await answer(3, JSON_TYPE, wanted)).digest).toBeNull()
})
