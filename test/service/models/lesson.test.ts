/** The model that comes with the service: it is there without settings, and its heads point where its documents say. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import request from 'supertest'
import { describe, expect, it } from 'vitest'
import { corpusText, PARTS, type Part, readCorpus } from '../../../examples/train-lesson/corpus.ts'
import { askerOf, pointing, said } from '../../../examples/train-lesson/measure.ts'
import { plain, Tokenizer } from '../../../examples/train-lesson/vocabulary.ts'
import { Client } from '../../../src/client/index.ts'
import { post, startServer } from '../server.ts'
import { MODELS } from './fixture.ts'

const FOLDER = fileURLToPath(new URL('../../../models/lesson', import.meta.url))
const LESSON = JSON.parse(readFileSync(join(FOLDER, 'lesson.json'), 'utf8'))
/** A request to the model and the answer to it, in which … stands for what is left out. */
const EXAMPLE =
  /models\/lesson\/forward -H 'content-type: application\/json' \\\n {2}-d '(.+?)'\n```\n\n```json\n(.+?)```/s
const LANGUAGES = ['en', 'ko'] as const

const server = await startServer()
const ask = askerOf(new Client(server.url), 'lesson')
const forward = (body: object) => post(server, '/v1/models/lesson/forward', body)

describe('the lesson model', () => {
  it('is there without MODELS_DIR, and small', async () => {
    const { body } = await request(server.url).get('/v1/models')
    expect(body.models).toHaveLength(1)
    expect(body.models[0]).toMatchObject({ name: 'lesson', family: 'bert', tokenizer: true })
    const sizes = readdirSync(FOLDER).map(name => statSync(join(FOLDER, name)).size)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1.5e6)
    expect((await request(server.url).get('/v1/models/nothing')).status).toBe(404)
  })

  it('gives its place to a model of the same name in MODELS_DIR, and stands beside others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lesson-'))
    try {
      symlinkSync(join(MODELS, 'gpt2'), join(folder, 'another'), 'dir')
      const own = await startServer({ MODELS_DIR: folder })
      const list = async () => (await request(own.url).get('/v1/models')).body.models
      expect((await list()).map(({ name }: { name: string }) => name)).toEqual(['another', 'lesson'])
      symlinkSync(join(MODELS, 'gpt2'), join(folder, 'lesson'), 'dir')
      expect((await list())[1]).toMatchObject({ name: 'lesson', family: 'gpt2' })
      const { body } = await post(own, '/v1/models/lesson/forward', { token_ids: [[5, 6]], return: ['output'] })
      expect(body.output[0][0]).toHaveLength(16)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it.each(LANGUAGES)(
    'has maps of its sentence in %s, and its head at the pronoun points at the noun',
    async language => {
      const { sentence, pronoun, noun, pronoun_noun } = LESSON[language]
      const { status, body } = await forward({ text: sentence, return: ['weights'] })
      expect(status).toBe(200)
      const strings: string[] = body.tokens.strings[0]
      expect(strings).not.toContain('[UNK]')
      const row = body.layers[pronoun_noun.layer].weights[0][pronoun_noun.head][strings.indexOf(pronoun)]
      expect(row).toHaveLength(strings.length)
      expect(strings[row.indexOf(Math.max(...row))]).toBe(noun)
    },
  )

  it.each(LANGUAGES)('points at the noun in nine of ten sentences of the test in %s', async language => {
    const { pronoun_noun, test } = LESSON[language]
    const { layer, head } = pronoun_noun
    const sentences = readCorpus('test').filter(each => each.language === language)
    const [[share]] = await pointing(ask, sentences, { layers: [layer], heads: [head] })
    expect(share).toBeGreaterThanOrEqual(0.9)
    // kernels differ in the last bits, and a row whose two strongest weights are equal may turn
    expect(Math.abs(share - pronoun_noun.test)).toBeLessThan(0.005)
    expect(Math.abs((await said(ask, sentences)) - test.says_noun)).toBeLessThan(0.005)
  })

  it('has in the vocabulary of its trainer the tokens that the service finds', async () => {
    const tokenizer = new Tokenizer()
    const texts = readCorpus('test').map(({ marked }) => plain(marked))
    const { body } = await forward({ text: texts, return: [] })
    const found = body.tokens.strings.map((strings: string[], item: number) =>
      body.tokens.ids[item].slice(1, strings.indexOf('[SEP]')),
    )
    expect(found).toEqual(texts.map(text => tokenizer.encode(text)))
  })
})

describe('its corpus', () => {
  it.each(Object.keys(PARTS) as Part[])('is what the generator writes: %s', part => {
    const file = new URL(`../../../examples/train-lesson/corpus/${part}.tsv`, import.meta.url)
    expect(readFileSync(file, 'utf8') === corpusText(part)).toBe(true)
  })

  it('learns of no noun in a kind of sentence that it is tested on', () => {
    const tokenizer = new Tokenizer()
    const learned = new Set(
      readCorpus('train').flatMap(({ language, frame, marked }) =>
        tokenizer.encode(plain(marked)).map(id => `${language} ${frame} ${id}`),
      ),
    )
    const tested = readCorpus('test').filter(({ marked }) => marked.includes('*'))
    const seen = tested.filter(({ language, frame, marked }) => {
      const [, noun] = /\*(.+?)\*/.exec(marked) as RegExpExecArray
      return learned.has(`${language} ${frame} ${tokenizer.encode(noun)[0]}`)
    })
    expect(seen).toEqual([])
  })
})

describe('the example of the README', () => {
  it.each(['README.md', 'README.ko.md'])('%s: the answer is what it shows', async name => {
    const text = readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8')
    const [, request, answer] = EXAMPLE.exec(text) as RegExpExecArray
    const { body } = await forward(JSON.parse(request))
    const [{ index, top_keys }] = body.layers
    const row = body.tokens.strings[0].indexOf('it')
    const shown = answer.replace(/\s/g, '')
    expect(shown).toContain(`"strings":${JSON.stringify(body.tokens.strings)}`)
    expect(shown).toContain(`"index":${index}`)
    expect(shown).toContain(`"indices":[[[…,${JSON.stringify(top_keys.indices[0][0][row])},…]]]`)
    const [, weights] = /"weights":\[\[\[…,(\[.+?\]),…/.exec(shown) as RegExpExecArray
    for (const [at, weight] of JSON.parse(weights).entries())
      expect(top_keys.weights[0][0][row][at]).toBeCloseTo(weight, 4)
  })
})
