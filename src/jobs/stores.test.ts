/** Every store does the same: pieces by job and digest, whole or not at all, written once. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { S3Server } from '../../test/support/s3-server.ts'
import { openStore } from './open-store.ts'
import { S3Store } from './s3-store.ts'
import { readPart, readWhole, type Store } from './store.ts'
import { TemporaryStore } from './temporary-store.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'stores-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

async function bucket(): Promise<{ server: S3Server; store: Store }> {
  process.env.AWS_ACCESS_KEY_ID ??= 'id'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'secret'
  const server = await S3Server.start()
  const url = `s3://bucket/a/prefix?endpoint=${encodeURIComponent(server.url)}&region=us-east-1`
  const store = await openStore({ STORE_URL: url, STORE_BYTES: 1 })
  expect(store).toBeInstanceOf(S3Store)
  onTestFinished(async () => {
    await store.close()
    await server.close()
  })
  return { server, store }
}

const STORES: [string, () => Promise<Store>][] = [
  ['temporary', () => openStore({ STORE_URL: undefined, STORE_BYTES: 1 << 20 })],
  ['a folder', async () => openStore({ STORE_URL: pathToFileURL(await folder()).href, STORE_BYTES: 1 })],
  ['S3', async () => (await bucket()).store],
]

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(Uint8Array.from(piece))
  return Buffer.concat(all).toString()
}

describe.each(STORES)('%s', (_, open) => {
  it('keeps what is put, by its digest, and gives stretches of it', async () => {
    const store = await open()
    onTestFinished(() => store.close())
    // the giver writes over its pieces, as the encoder does
    async function* pieces() {
      const slot = new Uint8Array(3)
      for (const text of ['abc', 'def', 'ghi']) {
        slot.set(Buffer.from(text))
        yield slot
      }
    }
    const digest = createHash('sha256').update('abcdefghi').digest('hex')
    for (let run = 0; run < 2; run++) {
      expect(await store.put('job', pieces)).toEqual({ name: `job/${digest}`, bytes: 9, digest })
    }
    expect(await bytesOf(store.read(`job/${digest}`))).toBe('abcdefghi')
    expect(await bytesOf(store.read(`job/${digest}`, 2, 5))).toBe('cde')
    expect(await bytesOf(store.read(`job/${digest}`, 7))).toBe('hi')
    expect(await bytesOf(store.read(`job/${digest}`, 4, 4))).toBe('')
    await store.put('other', () => [])
    await store.remove('job')
    await store.remove('job')
    await expect(bytesOf(store.read(`job/${digest}`))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })

  it('gives what was kept, or says that it is no longer that', async () => {
    const store = await open()
    onTestFinished(() => store.close())
    const kept = await store.put('job', () => [Buffer.from('abcdef')])
    expect(await bytesOf(readWhole(store, kept))).toBe('abcdef')
    expect(await bytesOf(readPart(store, kept.name, 1, 4))).toBe('bcd')
    const other = await store.put('job', () => [Buffer.from('abcdeX')])
    const shorter = await store.put('job', () => [Buffer.from('abc')])
    const longer = await store.put('job', () => [Buffer.from('abcdefg')])
    for (const { name } of [other, shorter, longer]) {
      await expect(bytesOf(readWhole(store, { ...kept, name })), name).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
      })
    }
    await expect(bytesOf(readPart(store, shorter.name, 1, 4))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('expected 3 bytes, got 2'),
    })
  })

  it('has nothing of what was not given whole', async () => {
    const store = await open()
    onTestFinished(() => store.close())
    async function* broken() {
      yield Buffer.from('abc')
      throw new RangeError('no more')
    }
    await expect(store.put('job', broken)).rejects.toThrow()
    const { name } = await store.put('job', () => [Buffer.from('whole')])
    expect(await bytesOf(store.read(name))).toBe('whole')
  })
})

it('a folder holds no half-written file, and says so where it cannot be written', async () => {
  const path = await folder()
  const store = await openStore({ STORE_URL: pathToFileURL(path).href, STORE_BYTES: 1 })
  async function* broken() {
    yield Buffer.from('abc')
    throw new Error('no more')
  }
  await expect(store.put('job', broken)).rejects.toThrow('no more')
  expect(await readdir(join(path, 'job'))).toEqual([])
  await writeFile(join(path, 'file'), '')
  await expect(store.put('file', () => [])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
})

it('S3 writes a piece once, and says so where it does not answer', async () => {
  const { server, store } = await bucket()
  for (let run = 0; run < 3; run++) await store.put('job', () => [Buffer.from('abc')])
  expect(server.puts).toBe(1)
  expect([...server.objects.keys()][0]).toMatch(/^bucket\/a\/prefix\/job\/[0-9a-f]{64}$/)
  await store.remove('job')
  expect(server.objects.size).toBe(0)
  server.failing = 403
  await expect(store.put('job', () => [Buffer.from('abc')])).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    status: 503,
  })
})

it('temporary files are bounded, and gone at the end', async () => {
  const store = new TemporaryStore(10)
  await store.put('a', () => [Buffer.alloc(8)])
  await expect(store.put('b', () => [Buffer.alloc(8)])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  await store.remove('a')
  await store.put('b', () => [Buffer.alloc(8)])
  await store.close()
  expect(
    (await readdir(tmpdir())).filter(name => name.startsWith(`attention-server-jobs-${process.pid}-`)),
  ).toEqual([])
})
