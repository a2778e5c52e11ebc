/** A request has its deadline while its model is being loaded too, wherever it comes in; the model is loaded all the same. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import request from 'supertest'
import { afterAll, describe, expect, it } from 'vitest'
import { readFileTensors, writeFile } from '../safetensors-file.ts'
import { post, startServer } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { MODELS } from './fixture.ts'

const BYTES = 48 << 20
const folder = mkdtempSync(join(tmpdir(), 'slow-models-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A vocabulary that takes longer to read than a request may take. */
const large = join(folder, 'large')
cpSync(join(MODELS, 'gpt2'), large, { recursive: true })
// its names would take longer still
rmSync(join(large, 'tokenizer.json'))
const config = JSON.parse(readFileSync(join(large, 'config.json'), 'utf8'))
const vocabulary = BYTES / (4 * config.n_embd)
writeFileSync(join(large, 'config.json'), JSON.stringify({ ...config, vocab_size: vocabulary }))
const weights = join(large, 'model.safetensors')
const { tensors } = readFileTensors(readFileSync(weights))
const embeddings = { dtype: 'F32', shape: [vocabulary, config.n_embd], data: new Uint8Array(BYTES) }
writeFileSync(weights, writeFile({ ...tensors, 'transformer.wte.weight': embeddings }, { format: 'pt' }))

const WAYS = ['forward', 'plan', 'infer', 'job', 'stream']
for (const way of WAYS) symlinkSync(large, join(folder, way))
const server = await startServer({ MODELS_DIR: folder, DEADLINE_SECONDS: '0.05' })
const late = { code: 'DEADLINE_EXCEEDED', status: 504 }

/** Nobody waits for it, and it leaves nothing behind that is held. */
async function loaded(name: string): Promise<void> {
  const described = async () => (await request(server.url).get(`/v1/models/${name}`)).body.loaded
  await expect.poll(described, { timeout: 10_000 }).toBe(true)
}

describe('a model that is not there in time', () => {
  const path = (name: string) => `/v1/models/${name}/forward`
  const body = { token_ids: [[1, 2]] }
  const inputs = [{ name: 'token_ids', datatype: 'INT64', shape: [1, 2], data: [1, 2] }]
  it.each([
    ['forward', path('forward'), body],
    ['plan', '/v1/plan', { endpoint: path('plan'), body: { token_ids: { shape: [1, 2] } } }],
    ['infer', '/v2/models/infer/infer', { inputs }],
    ['job', '/v1/jobs', { endpoint: path('job'), body }],
  ])('is a 504 of %s', async (name, url, asked) => {
    const answer = await post(server, url, asked)
    expect(answer.status).toBe(504)
    expect(answer.body.code ?? answer.body.error).toMatch(/DEADLINE_EXCEEDED|within 0.05 s/)
    await loaded(name)
  })

  it('ends a run of the stream, and nothing else', async () => {
    const client = await StreamClient.open(server)
    client.send({ type: 'start', id: 'a', model: 'stream', ...body })
    expect(await client.ended('a')).toMatchObject({ type: 'error', id: 'a', problem: late })
    expect(client.of('accepted')).toEqual([])
    await loaded('stream')
    client.send({ type: 'start', id: 'b', model: 'nothing', ...body })
    expect(await client.ended('b')).toMatchObject({ type: 'error', problem: { code: 'MODEL_NOT_FOUND' } })
    await client.close()
  })
})
