/** Models on the page: what it shows is what `POST /v1/models/{name}/forward` answers. */
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { MODELS } from '../service/models/fixture.ts'
import { readFile, values } from '../service/safetensors-file.ts'
import { post, startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { factOf, filled, finished, mapsOf, noticeOfRun, saidBy } from './layers-page.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open, type VisitOptions } from './page.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const browser = await launchBrowser()
const SENTENCE = "The cat didn't cross"

let visit: Opened
let page: Page

async function visitAt(address: string, options: VisitOptions = {}): Promise<void> {
  visit = await open(browser, `${server.url}/#${address}`, options)
  page = visit.page
}

const link = (model: string, more: string) =>
  `layers?${new URLSearchParams({ model, sentence: SENTENCE })}&run=1&${more}`

afterEach(() => visit.close())

async function answerOf(model: string, request: object = {}) {
  const body = { text: SENTENCE, return: ['weights', 'entropy'], ...request }
  const answer = await post(server, `/v1/models/${model}/forward`, body)
  expect(answer.body.detail ?? answer.status).toBe(200)
  return answer.body
}

/** As they are written where there is little room. */
const short = (token: string) => (token.length > 9 ? `${token.slice(0, 8)}…` : token)
const namesOnMap = () => page.locator('[data-map=forward] svg text').allTextContents()
const valueOnMap = () => page.textContent('[data-map=forward] .map-value')
const twice = (tokens: string[]) => [...tokens, ...tokens].map(short).sort()

describe('a run of a model', () => {
  it('has its tokens along both sides of its maps', async () => {
    await visitAt(link('bert', 'map=1,2&row=2'))
    await finished(page)
    await filled(page, 8)
    await expect.poll(() => mapsOf(page)).toBe(1)
    const { tokens, layers } = await answerOf('bert')
    const [strings] = tokens.strings
    expect((await namesOnMap()).sort()).toEqual(twice(strings))
    const [row] = [layers[1].weights[0][2][2]]
    expect(await valueOnMap()).toBe(`${strings[2]} (3) → ${strings[0]} (1): ${Number(row[0].toFixed(5))}`)
    expect(await factOf(page)).toContain('2 of 2 layers')
    expect(await page.isVisible('#stack-layers')).toBe(false)
    await expectAccessible(page)
  })

  it('is drawn without special tokens, which a link keeps', async () => {
    await visitAt(link('bert', 'map=0,1&row=1'))
    await expect.poll(() => mapsOf(page)).toBe(1)
    await page.check('#fold')
    const { tokens, layers } = await answerOf('bert')
    const plain: string[] = tokens.strings[0].slice(1, -1)
    await expect.poll(async () => (await namesOnMap()).sort()).toEqual(twice(plain))
    // the row stays with its token
    const value = `${plain[0]} (1) → ${plain[0]} (1): ${Number(layers[0].weights[0][1][1][1].toFixed(5))}`
    await expect.poll(valueOnMap).toBe(value)
    const size = () =>
      page.$eval('[data-cell=forward-1-3] canvas', canvas => (canvas as HTMLCanvasElement).width)
    await expect.poll(size).toBe(plain.length)
    await expect.poll(() => page.url()).toContain('fold=1')
    const url = page.url()
    await visit.close()
    visit = await open(browser, url)
    page = visit.page
    await expect.poll(() => mapsOf(page)).toBe(1)
    await expect.poll(valueOnMap).toBe(value)
    await page.uncheck('#fold')
    await expect.poll(async () => (await namesOnMap()).length).toBe(2 * tokens.strings[0].length)
    await expect.poll(() => page.inputValue('#row')).toBe('2')
  })

  it('is chosen among those that the server has, or the seeded stack', async () => {
    await visitAt('layers?model=&layers=2&heads=2')
    const choice = page.locator('#stack-model option')
    await expect.poll(() => choice.allTextContents()).toContain('gpt2')
    expect((await choice.allTextContents()).at(-1)).toBe('Random numbers, seeded')
    expect(await page.isVisible('#stack-layers')).toBe(true)
    await page.selectOption('#stack-model', 'gpt2')
    await page.fill('#stack-sentence', SENTENCE)
    await page.click('#run')
    await finished(page)
    await filled(page, 8)
    await expect.poll(() => page.url()).toContain('model=gpt2&sentence=The+cat')
    expect(await page.isVisible('#fold')).toBe(false)
    await page.selectOption('#stack-model', '')
    await page.click('#run')
    await expect.poll(() => factOf(page)).toContain('4 of 4 layers')
    await filled(page, 8)
    expect(await page.locator('[data-pass=backward] .cell').count()).toBe(4)
  })

  it('shows the encoder of one that has two stacks', async () => {
    await visitAt(link('t5', 'map=1,3'))
    await finished(page)
    await expect.poll(() => mapsOf(page)).toBe(1)
    const { tokens, encoder } = await answerOf('t5')
    expect(tokens.strings[0][0]).toBe('▁')
    await expect
      .poll(valueOnMap)
      .toBe(`␣ (1) → ␣ (1): ${Number(encoder.layers[1].weights[0][3][0][0].toFixed(5))}`)
  })

  it.each([
    ['nothing', SENTENCE, /^\/model: no model "nothing"$/],
    ['bert', 'the cat '.repeat(40), /^\/text: expected at most max_length = 32 tokens, got \d+$/],
  ])('says what is wrong with %s', async (model, sentence, text) => {
    await visitAt(`layers?${new URLSearchParams({ model, sentence })}&run=1`)
    await expect.poll(() => saidBy(noticeOfRun(page))).toMatch(text)
    expect(await page.inputValue('#stack-model')).toBe(model)
    expect(await noticeOfRun(page).locator('button').isVisible()).toBe(false)
    await expectAccessible(page)
    await page.selectOption('#stack-model', 'bert')
    await page.fill('#stack-sentence', SENTENCE)
    await page.click('#run')
    await filled(page, 8)
    expect(await noticeOfRun(page).isVisible()).toBe(false)
  })

  it('is carried away as SVG, CSV and safetensors', async () => {
    await visitAt(link('bert', 'map=1,2&fold=1'))
    await filled(page, 8)
    await expect.poll(() => mapsOf(page)).toBe(1)
    const file = async (kind: string) => {
      const waiting = page.waitForEvent('download')
      await page.click(`[data-export=${kind}]`)
      const download = await waiting
      expect(download.suggestedFilename()).toBe(`layers-bert-2-3.${kind}`)
      return readFileSync(await download.path())
    }
    const { tokens, layers } = await answerOf('bert')
    const plain: string[] = tokens.strings[0].slice(1, -1)
    const weight = layers[1].weights[0][2][1][2]
    const svg = (await file('svg')).toString()
    const drawn = [...svg.matchAll(/>([^<]*)<\/text>/g)].map(([, text]) => text)
    expect(drawn).toEqual(expect.arrayContaining(plain))
    expect(drawn).not.toContain('[CLS]')
    expect((await file('png')).subarray(1, 4).toString()).toBe('PNG')
    const csv = (await file('csv')).toString()
    const line = csv.split('\r\n').find(each => each.startsWith(`weights,0,1,${plain[0]},`))
    expect(Number(line?.split(',').at(-1))).toBeCloseTo(weight, 6)
    const { tensors, response } = readFile(await file('safetensors'))
    expect(tensors.weights!.shape).toEqual([plain.length, plain.length])
    expect(values(tensors.weights!)[1]).toBeCloseTo(weight, 6)
    expect(tensors['layers.1.entropy']!.shape).toEqual([4, plain.length])
    expect(response).toMatchObject({ layer: 1, head: 2, tokens: plain })
  })
})

/** GPT-2 writes a byte a letter: nobody can read its Korean. */
describe('tokens of bytes', () => {
  const TEXT = '너무 피곤해서 café'
  const NAMES = '너 무₁ 무₂ ␣ 피₁ 피₂ 피₃ 곤₁ 곤₂해₁ 해₂ 해₃ 서₁ 서₂ 서₃ ␣c a fé₁ é₂'
  const where = { model: 'gpt2', sentence: TEXT }

  it('are read as their text along both sides of a map, in what it says, and in files', async () => {
    await visitAt(`layers?${new URLSearchParams(where)}&run=1&map=1,2&row=3`)
    await filled(page, 8)
    await expect.poll(() => mapsOf(page)).toBe(1)
    const { tokens } = await answerOf('gpt2', { text: TEXT })
    expect(tokens.strings[0].slice(1, 4)).not.toContain('무')
    const names = NAMES.split(' ')
    expect(names).toHaveLength(tokens.strings[0].length)
    expect((await namesOnMap()).sort()).toEqual(twice(names))
    expect(await valueOnMap()).toMatch(/^␣ \(4\) → 너 \(1\): /)
    expect(await page.getAttribute('.head-lines canvas', 'aria-label')).toMatch(/␣.*(너|무₁|무₂) /)
    expect(await page.textContent('.detail > .hint')).toBe(
      '␣ is a space. ₁ ₂ ₃ are the parts of a letter that is cut into several tokens.',
    )
    const file = async (kind: string) => {
      const waiting = page.waitForEvent('download')
      await page.click(`[data-export=${kind}]`)
      return readFileSync(await (await waiting).path())
    }
    const drawn = [...(await file('svg')).toString().matchAll(/>([^<]*)<\/text>/g)].map(([, text]) => text)
    expect(drawn).toEqual(expect.arrayContaining(names))
    expect((await file('csv')).toString()).toContain('\r\nweights,2,1,무₂,무₁,')
    // what the server answered is kept as it came
    expect(readFile(await file('safetensors')).response).toMatchObject({ tokens: tokens.strings[0] })
    await expectAccessible(page)
  })

  it('are so in a sentence too, where a cell is pointed at', async () => {
    await visitAt(`attention?${new URLSearchParams({ ...where, head: '1,2', tables: '1' })}`)
    const names = (part: string) => page.locator(`[data-table=weights] ${part} th`).allTextContents()
    await expect.poll(() => names('tbody')).toEqual(NAMES.split(' '))
    expect(await names('thead')).toEqual(NAMES.split(' '))
    expect(await page.isVisible('.flow .hint:has-text("␣ is a space.")')).toBe(true)
    await page.click('[aria-pressed=true]:has-text("Tables")')
    await page.focus('[data-matrix=weights] .stage')
    await page.keyboard.press('PageDown')
    await expect.poll(() => page.textContent('.explanation-body')).toMatch(/P\[é₂, 너\] = /)
    expect((await page.locator('.bar-label').allTextContents()).slice(7, 10)).toEqual([
      '곤₁',
      '곤₂해₁',
      '해₂',
    ])
  })
})

describe('a sentence', () => {
  const table = (name: string) =>
    page.$$eval(`[data-table=${name}] tbody tr`, rows =>
      rows.map(row =>
        [...row.querySelectorAll('td')].map(({ textContent }) => Number(textContent?.replace('−', '-'))),
      ),
    )
  const rounded = (rows: number[][]) => rows.map(row => row.map(value => Number(value.toFixed(4))))

  it('goes through a head of a model, by tokens', async () => {
    await visitAt(
      `attention?${new URLSearchParams({ sentence: SENTENCE, model: 'bert', head: '1,2', tables: '1' })}`,
    )
    const { tokens, layers } = await answerOf('bert', { precision: 'float64' })
    await expect.poll(() => table('weights')).toEqual(rounded(layers[1].weights[0][2]))
    const names = await page.locator('[data-table=weights] tbody th').allTextContents()
    expect(names).toEqual(tokens.strings[0])
    expect(await page.locator('[data-matrix=q]').count()).toBe(0)
    expect(await page.isVisible('#causal')).toBe(false)
    await expectAccessible(page)
    await page.fill('#sentence-head', '4')
    await expect.poll(() => table('weights')).toEqual(rounded(layers[1].weights[0][3]))
    await expect.poll(() => page.url()).toContain('head=1,3')
    await page.fill('#sentence-layer', '9')
    await expect
      .poll(() => page.textContent('.attention-view .problem'))
      .toMatch(/^\/layers\/0: expected one of the model's 2/)
    await visit.expectFault(/400/)
    await page.selectOption('#sentence-model', '')
    await expect.poll(async () => (await table('q')).length).toBe(4)
  })

  it('and a run are seeded where the server lists no model', async () => {
    const prepare = (page: Page) =>
      page.route('**/v1/models', route => route.fulfill({ json: { models: [] } }))
    await visitAt('attention?tables=1', { prepare })
    await page.selectOption('#source', 'sentence')
    await expect.poll(async () => (await table('q')).length).toBe(12)
    await page.click('[data-view=layers]')
    expect(await page.inputValue('#stack-model')).toBe('')
    expect(await page.isVisible('#stack-layers')).toBe(true)
    expect(await page.isVisible('.transport')).toBe(false)
  })
})

describe('how it looks', () => {
  it.each([
    ['desktop', 1440, 'dark', 'en'],
    ['phone', 390, 'light', 'ko'],
  ] as const)('%s %i %s %s', async (device, width, colorScheme, locale) => {
    const viewport = { width, height: 844 }
    await visitAt(link('roberta', 'map=1,0&row=3'), { colorScheme, locale, viewport })
    await filled(page, 8)
    await expect.poll(() => mapsOf(page)).toBe(1)
    await expectAccessible(page)
    await expectNoOverflow(page)
    await keep(page, `models-${device}-${colorScheme}-${locale}`)
  })
})
