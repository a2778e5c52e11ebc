/** What stands in MODELS_DIR: what is said of it, and how a folder that cannot be is refused, alone. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import request from 'supertest'
import { afterAll, describe, expect, it } from 'vitest'
import { readFileTensors, writeFile } from '../safetensors-file.ts'
import { post, settled, startServer } from '../server.ts'
import { MODELS } from './fixture.ts'

const folder = mkdtempSync(join(tmpdir(), 'models-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Tensors = ReturnType<typeof readFileTensors>['tensors']

/** A copy of a fixture under another name, changed. */
function changed(name: string, of: string, change: (path: string) => void): string {
  const path = join(folder, name)
  cpSync(join(MODELS, of), path, { recursive: true })
  change(path)
  return name
}

function withConfig(path: string, fields: object): void {
  const file = join(path, 'config.json')
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...fields }))
}

function withTensors(path: string, change: (tensors: Tensors) => void): void {
  const file = join(path, 'model.safetensors')
  const { tensors } = readFileTensors(readFileSync(file))
  change(tensors)
  writeFileSync(file, writeFile(tensors, { format: 'pt' }))
}

const nothing = () => {}
changed('good', 'gpt2', nothing)
/** Of a server whose memory is too small for a model. */
const MEMORY = 32 << 20
for (const [name, share] of [
  ['large', 1],
  ['half', 0.5],
] as const) {
  changed(name, 'gpt2', path => {
    const vocabulary = Math.ceil((share * MEMORY) / (4 * 16))
    withConfig(path, { vocab_size: vocabulary })
    const shape = [vocabulary, 16]
    withTensors(path, tensors => {
      tensors['transformer.wte.weight'] = { dtype: 'F32', shape, data: new Uint8Array(4 * 16 * vocabulary) }
    })
  })
}
symlinkSync(join(MODELS, 'llama'), join(folder, 'linked'))
writeFileSync(join(folder, 'file'), '')
mkdirSync(join(folder, 'empty'))
changed('other', 'gpt2', path => withConfig(path, { model_type: 'mamba' }))
changed('quantised', 'llama', path => withConfig(path, { quantization_config: { quant_method: 'fp8' } }))
changed('int8', 'gpt2', path =>
  withTensors(path, tensors => {
    const { shape } = tensors['transformer.wpe.weight']
    tensors['transformer.wpe.weight'] = { dtype: 'U8', shape, data: new Uint8Array(shape[0] * shape[1]) }
  }),
)
changed('scaled', 'gpt2', path =>
  withTensors(path, tensors => {
    tensors['transformer.h.0.attn.c_attn.weight_scale'] = {
      dtype: 'F32',
      shape: [1],
      data: new Uint8Array(4),
    }
  }),
)
changed('missing', 'gpt2', path => withTensors(path, tensors => delete tensors['transformer.ln_f.weight']))
changed('extra', 'gpt2', path =>
  withTensors(path, tensors => {
    tensors['transformer.more'] = tensors['transformer.ln_f.bias']
  }),
)
changed('wrong-shape', 'gpt2', path => withConfig(path, { vocab_size: 95 }))
changed('truncated', 'gpt2', path => {
  const file = join(path, 'model.safetensors')
  writeFileSync(file, readFileSync(file).subarray(0, -4))
})
changed('long-header', 'gpt2', path => {
  const file = join(path, 'model.safetensors')
  const bytes = readFileSync(file)
  bytes.writeBigUInt64LE(2n ** 60n, 0)
  writeFileSync(file, bytes)
})
changed('no-json', 'gpt2', path => writeFileSync(join(path, 'config.json'), '{'))
changed('away', 'bert', path => {
  const file = join(path, 'model.safetensors.index.json')
  const index = JSON.parse(readFileSync(file, 'utf8'))
  index.weight_map['bert.embeddings.LayerNorm.bias'] = '../gpt2/model.safetensors'
  writeFileSync(file, JSON.stringify(index))
})
changed('absent-shard', 'bert', path => rmSync(join(path, 'model-00002-of-00003.safetensors')))
changed('more-files', 'bert', path =>
  writeFileSync(join(path, 'model-00009-of-00003.safetensors'), 'no such thing'),
)
changed('buffers', 'bert', path => {
  // what old files have: buffers, gamma and beta, no prefix
  const file = join(path, 'model.safetensors.index.json')
  const { weight_map } = JSON.parse(readFileSync(file, 'utf8'))
  const all: Tensors = {}
  for (const shard of new Set<string>(Object.values(weight_map))) {
    Object.assign(all, readFileTensors(readFileSync(join(path, shard))).tensors)
  }
  const older = Object.entries(all).map(([name, tensor]) => {
    const renamed = name.replace(/^bert\./, '').replace(/LayerNorm\.weight$/, 'LayerNorm.gamma')
    return [renamed.replace(/LayerNorm\.bias$/, 'LayerNorm.beta'), tensor] as const
  })
  const ids = { dtype: 'I64', shape: [1, 2], data: new Uint8Array(16) }
  rmSync(file)
  const tensors = { ...Object.fromEntries(older), 'embeddings.position_ids': ids }
  writeFileSync(join(path, 'model.safetensors'), writeFile(tensors, { format: 'pt' }))
})
changed('no-vocabulary', 'gpt2', path =>
  writeFileSync(join(path, 'tokenizer.json'), '{"model":{"type":"BPE","vocab":{},"merges":[]}}'),
)
changed('no-tokenizer', 'gpt2', path => rmSync(join(path, 'tokenizer.json')))

const server = await startServer({ MODELS_DIR: folder })
const get = async (path: string) => {
  const { status, body } = await request(server.url).get(path)
  return { status, body }
}
const ask = (name: string, body: object = { token_ids: [[5, 6, 7]] }) =>
  post(server, `/v1/models/${name}/forward`, body)

describe('models', () => {
  it('are said with what the contract names', async () => {
    const { status, body } = await get('/v1/models/linked')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      name: 'linked',
      family: 'llama',
      layers: 2,
      heads: 4,
      kv_heads: 2,
      d_model: 16,
      head_dim: 4,
      vocabulary: 96,
      dtype: 'bfloat16',
      loaded: false,
      tokenizer: true,
      max_length: 32,
    })
    expect(body.parameters).toBeGreaterThan(5000)
    expect(body.bytes).toBeGreaterThanOrEqual(4 * body.parameters)
    expect((await ask('linked')).status).toBe(200)
    expect((await get('/v1/models/linked')).body.loaded).toBe(true)
  })

  it('are listed, those that cannot be read with their problem', async () => {
    const { status, body } = await get('/v1/models')
    expect(status).toBe(200)
    const names = body.models.map(({ name }: { name: string }) => name)
    expect(names).toContain('good')
    expect(names).not.toContain('file')
    const other = body.models.find(({ name }: { name: string }) => name === 'other')
    expect(other.problem).toMatchObject({ status: 400, code: 'MODEL_UNSUPPORTED' })
    expect(other.problem.detail).toContain('mamba')
  })

  it.each([
    ['other', 'MODEL_UNSUPPORTED', 'mamba'],
    ['quantised', 'MODEL_UNSUPPORTED', 'fp8'],
    ['int8', 'MODEL_UNSUPPORTED', 'U8'],
    ['scaled', 'MODEL_UNSUPPORTED', 'weight_scale'],
    ['missing', 'MODEL_INVALID', 'transformer.ln_f.weight'],
    ['extra', 'MODEL_INVALID', 'transformer.more'],
    [
      'wrong-shape',
      'MODEL_INVALID',
      'transformer.wte.weight: expected [95, 16] by config.json, got [96, 16]',
    ],
    ['truncated', 'MODEL_INVALID', 'model.safetensors'],
    ['long-header', 'MODEL_INVALID', 'header'],
    ['no-json', 'MODEL_INVALID', 'config.json'],
    ['away', 'MODEL_INVALID', 'weight_map'],
    ['absent-shard', 'MODEL_INVALID', 'model-00002-of-00003.safetensors'],
    ['empty', 'MODEL_INVALID', 'config.json'],
  ])('%s is a 400 %s that names %s', async (name, code, text) => {
    for (const { status, body } of [await get(`/v1/models/${name}`), await ask(name)]) {
      expect(status).toBe(400)
      expect(body.code).toBe(code)
      expect(body.detail).toContain(text)
    }
  })

  it('a name of any length is a 404', async () => {
    const name = 'x'.repeat(3000)
    for (const { status, body } of [await get(`/v1/models/${name}`), await ask(name)]) {
      expect(status).toBe(404)
      expect(body.code).toBe('MODEL_NOT_FOUND')
    }
    expect((await get(`/v2/models/${name}`)).status).toBe(404)
  })

  it.each(['nothing', '..', '%2e%2e', '..%2f..%2fetc', 'good%2f..%2fgood', 'file', '.'])(
    '%s is a 404',
    async name => {
      const { status } = await get(`/v1/models/${name}`)
      expect(status).toBe(404)
      expect((await ask(name)).status).toBe(404)
    },
  )

  it.each(['more-files', 'buffers'])('%s is as good as its original', async name => {
    const body = { token_ids: [[5, 6, 7]], return: ['output'] }
    const { status, body: right } = await ask('more-files', body)
    expect(status).toBe(200)
    expect((await ask(name, body)).body.output).toEqual(right.output)
  })

  it.each(['no-vocabulary', 'no-tokenizer'])(
    '%s takes token ids, and says why it takes no text',
    async name => {
      expect((await ask(name)).status).toBe(200)
      const { status, body } = await ask(name, { text: 'a' })
      expect(status).toBe(400)
      expect(body.code).toBe('MODEL_UNSUPPORTED')
      expect(body.detail).toContain('tokenizer')
    },
  )

  it('leave where others need the room', async () => {
    const bytes = (await get('/v1/models/good')).body.bytes
    const small = await startServer({ MODELS_DIR: folder, MODEL_MEMORY_BYTES: String(bytes + 64) })
    const before = small.app.engine.arena.usedBytes
    const run = (name: string) => post(small, `/v1/models/${name}/forward`, { token_ids: [[5, 6]] })
    expect((await run('good')).status).toBe(200)
    expect((await run('no-tokenizer')).status).toBe(200)
    const loaded = async (name: string) => (await request(small.url).get(`/v1/models/${name}`)).body.loaded
    expect([await loaded('good'), await loaded('no-tokenizer')]).toEqual([false, true])
    expect(await settled(small, before + bytes)).toBeLessThanOrEqual(before + bytes + 64)
    const tight = await startServer({ MODELS_DIR: folder, MODEL_MEMORY_BYTES: String(bytes - 64) })
    const { status, body } = await post(tight, '/v1/models/good/forward', { token_ids: [[5, 6]] })
    expect(status).toBe(413)
    expect(body.detail).toContain('64 more than MODEL_MEMORY_BYTES')
  })

  it('say by how much they do not fit into the memory of all requests, for ever or for now', async () => {
    const memory = { MEMORY_BYTES: String(MEMORY), MODEL_MEMORY_BYTES: String(2 ** 31) }
    const small = await startServer({ MODELS_DIR: folder, ...memory })
    const ask = (name: string) => post(small, `/v1/models/${name}/forward`, { token_ids: [[5]], return: [] })
    const { arena } = small.app.engine
    const { bytes } = (await request(small.url).get('/v1/models/large')).body
    const large = await ask('large')
    expect(large.status).toBe(413)
    expect(large.body.detail).toContain(`${bytes - arena.largeLimit} more than MEMORY_BYTES leaves`)
    const wanted = (await request(small.url).get('/v1/models/half')).body.bytes
    const region = small.app.engine.allocate(arena.largeLimit - arena.usedBytes - wanted + 64 * 1024)
    const free = arena.largeLimit - arena.usedBytes
    const now = await ask('half')
    expect(now.status).toBe(503)
    expect(now.body.detail).toContain(`${wanted - free} more than requests and models in use leave`)
    arena.free(region)
    expect((await ask('half')).status).toBe(200)
  })

  it('are loaded once for many requests at a time', async () => {
    const again = await startServer({ MODELS_DIR: folder })
    const body = { token_ids: [[5, 6, 7]], return: ['logits'] }
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post(again, '/v1/models/good/forward', body)),
    )
    for (const { status, body } of answers) {
      expect(status).toBe(200)
      expect(body).toEqual(answers[0].body)
    }
  })
})
