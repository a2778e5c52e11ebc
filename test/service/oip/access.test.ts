/** `AUTH=keys` at /v2: health is open, everything else wants a key, and says so in the protocol's form. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { addKey, bearer, folder } from '../protection/key-file.ts'
import { startServer } from '../server.ts'
import { float32, infer, send } from './message.ts'

const file = join(await folder(), 'keys.json')
const key = await addKey(file, { name: 'alice' })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1' })

const qkv = ['q', 'k', 'v'].map(name => ({ name, datatype: 'FP32', shape: [1, 1], bytes: float32(1) }))

it('is open where it speaks of health, and nowhere else', async () => {
  for (const path of ['/v2/health/live', '/v2/health/ready']) {
    expect(await send(server, path, undefined, {}, 'GET')).toMatchObject({ status: 200 })
  }
  for (const path of ['/v2', '/v2/models', '/v2/models/attention/ready', '/v2/models/stats', '/v2/none']) {
    const { status, body } = await send(server, path, undefined, {}, 'GET')
    expect([path, status]).toEqual([path, 401])
    expect(body).toMatchObject({ code: 'UNAUTHORIZED', error: body.detail })
  }
  expect(await infer(server, 'attention', qkv)).toMatchObject({ status: 401 })
  expect(await infer(server, 'attention', qkv, {}, bearer(key))).toMatchObject({ status: 200 })
})
