/** The model that comes with the service is what the page shows first: a pronoun that looks at its noun, in both languages. */
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterEach, expect, it } from 'vitest'
import { post, startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { filled, mapsOf } from './layers-page.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open } from './page.ts'

const LESSON = JSON.parse(readFileSync(new URL('../../models/lesson/lesson.json', import.meta.url), 'utf8'))
const server = await startServer()
const browser = await launchBrowser()

let visit: Opened
let page: Page

async function visitAt(address: string, locale: string, width: number): Promise<void> {
  visit = await open(browser, `${server.url}/#${address}`, { locale, viewport: { width, height: 844 } })
  page = visit.page
}

afterEach(() => visit.close())

/** The weight from the pronoun to its noun, as the server has it. */
async function weightOf(language: string, precision: string) {
  const { sentence, pronoun, noun, pronoun_noun } = LESSON[language]
  const { layer, head } = pronoun_noun
  const body = { text: sentence, layers: [layer], heads: [head], return: ['weights'], precision }
  const { tokens, layers } = (await post(server, '/v1/models/lesson/forward', body)).body
  const [strings] = tokens.strings
  const [row, col] = [strings.indexOf(pronoun), strings.indexOf(noun)]
  return { row, strings, value: layers[0].weights[0][0][row][col] }
}

it.each([
  ['en', 'Row', 1280],
  ['ko', '행', 390],
] as const)('a sentence opens on its head: %s', async (language, rowWord, width) => {
  await visitAt('attention', language, width)
  await page.selectOption('#source', 'sentence')
  const { pronoun, noun, sentence } = LESSON[language]
  const { value } = await weightOf(language, 'float64')
  const explained = () => page.textContent('.explanation-body')
  await expect.poll(explained).toContain(`P[${pronoun}, ${noun}] = ${Number(value.toFixed(6))}`)
  expect(await explained()).toContain(rowWord)
  expect(value).toBeGreaterThan(0.5)
  expect(await page.inputValue('#sentence')).toBe(sentence)
  expect(await page.inputValue('#sentence-model')).toBe('lesson')
  await expect.poll(() => page.url()).toContain('model=lesson')
  await expectAccessible(page)
  await expectNoOverflow(page)
  await keep(page, `lesson-attention-${language}`)
  // the sentence that nobody has written follows the language
  const other = language === 'en' ? 'ko' : 'en'
  await page.click('#language')
  await expect.poll(explained).toContain(`P[${LESSON[other].pronoun}, ${LESSON[other].noun}]`)
})

it.each([
  ['en', 430],
  ['ko', 360],
] as const)('on a phone the explanation lies over nothing that it explains: %s', async (language, width) => {
  await visitAt('attention', language, width)
  await page.selectOption('#source', 'sentence')
  const { pronoun, noun } = LESSON[language]
  const panel = page.locator('.explanation')
  await expect.poll(() => panel.textContent()).toContain(`P[${pronoun}, ${noun}]`)
  const above = async (selector: string) => {
    const [shown, cover] = [await page.locator(selector).boundingBox(), await panel.boundingBox()]
    return shown!.y >= 0 && shown!.y + shown!.height <= cover!.y
  }
  await page.locator('[data-matrix=weights]').evaluate(each => each.scrollIntoView({ block: 'end' }))
  await expect.poll(() => above('[data-matrix=weights]')).toBe(true)
  expect(await page.isVisible('.explanation .cell-name')).toBe(true)
  expect(await page.isVisible('.explanation .formula')).toBe(false)
  await page
    .locator('[data-matrix=weights] .frame-main')
    .evaluate(each => each.scrollIntoView({ block: 'end' }))
  await keep(page, `explanation-folded-${language}`, false)
  await page.click('.unfold')
  expect(await page.isVisible('.explanation .formula')).toBe(true)
  await expect.poll(() => above('.frame-main')).toBe(true)
  await expectAccessible(page)
  await keep(page, `explanation-unfolded-${language}`, false)
  // walked to by keys, a cell comes into sight
  await page.locator('[data-matrix=weights] .stage').focus()
  await page.keyboard.press('PageDown')
  await expect.poll(() => panel.textContent()).toContain(`P[[SEP], ${noun}]`)
  await expect.poll(() => above('.frame-main')).toBe(true)
  await page.click('.unfold')
  expect(await page.isVisible('.explanation .formula')).toBe(false)
  await expectAccessible(page)
})

it.each([
  ['en', 1440],
  ['ko', 390],
] as const)('the layers open on its run: %s', async (language, width) => {
  await visitAt('layers', language, width)
  await filled(page, 12)
  await expect.poll(() => mapsOf(page)).toBe(1)
  const { row, strings } = await weightOf(language, 'float32')
  const { noun, pronoun, pronoun_noun } = LESSON[language]
  expect(await page.locator('#stack-model option').first().getAttribute('value')).toBe('lesson')
  const pressed = `[data-cell=forward-${pronoun_noun.layer}-${pronoun_noun.head}]`
  expect(await page.getAttribute(pressed, 'aria-pressed')).toBe('true')
  expect(await page.inputValue('#row')).toBe(String(row + 1))
  const best = await page.getAttribute('.head-lines canvas', 'aria-label')
  expect(best).toContain(pronoun)
  expect(best).toMatch(new RegExp(`: ${noun} |to ${noun} `))
  expect(await page.locator('[data-map=forward] svg text').count()).toBe(2 * strings.length)
  await expectAccessible(page)
  await expectNoOverflow(page)
  await keep(page, `lesson-layers-${language}`)
  await page.click('#language')
  await expect
    .poll(() => page.inputValue('#stack-sentence'))
    .toBe(LESSON[language === 'en' ? 'ko' : 'en'].sentence)
  const word = language === 'en' ? 'ko' : 'en'
  await expect
    .poll(() => page.locator('[data-map=forward] svg text.chosen').first().textContent())
    .toBe(LESSON[word].pronoun)
})
