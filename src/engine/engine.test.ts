/** Where a text is scanned: here, or by workers, and what comes back from there. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConfig } from '../config.ts'
import { Engine } from './engine.ts'

let engine: Engine

beforeAll(async () => {
  engine = await Engine.start(
    readConfig({ THREADS: '1', MEMORY_BYTES: String(64 << 20), KERNELS: 'simd128' }),
  )
  while (!engine.ready) await new Promise(resolve => setTimeout(resolve, 5))
})
afterAll(() => engine.close())

function shared(text: string): Uint8Array {
  const { offset } = engine.allocate(text.length)
  const bytes = new Uint8Array(engine.arena.memory.buffer, offset, text.length)
  bytes.set(Buffer.from(text))
  return bytes
}

test('this thread reads a thousand values of a text at most', () => {
  const list = (values: number) => shared(`[${Array(values - 1).fill('""')}]`)
  expect(engine.scanHere(list(1000))).toMatchObject({ ok: true })
  expect(engine.scanHere(list(1001))).toBeUndefined()
})

test('workers find the same', async () => {
  const text = shared(
    `{"a":["x",[1,2],[[true],[false]]],"b":{"base64":"a\\u0062c"},"c":1e400,"d":"${'y'.repeat(2000)}"}`,
  )
  expect(await engine.scan(text)).toEqual(engine.scanHere(text))
  const wrong = shared('[1,')
  expect(await engine.scan(wrong)).toEqual(engine.scanHere(wrong))
})

test('workers find the same in pieces', async () => {
  const numbers = `[${Array(3_000_000).fill('1.5')}]`
  const scan = await engine.scan(shared(`{"a":[1],"q":${numbers}}`))
  expect(scan).toMatchObject({ ok: true, spans: [{ count: 1 }, { count: 3_000_000, shape: [3_000_000] }] })
})
