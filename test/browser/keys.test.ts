/** The page of a server that asks for keys: the reader gives one, once a tab, and everything works with it. */
import { afterEach, describe, expect, it } from 'vitest'
import { addKey, folder, removeKey } from '../service/protection/key-file.ts'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { faintTexts } from './contrast.ts'
import { finished, noticeOfRun } from './layers-page.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open, type VisitOptions } from './page.ts'

const file = `${await folder()}/keys.json`
const key = await addKey(file, { name: 'reader' })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file })
const browser = await launchBrowser()

let visit: Opened
afterEach(() => visit.close())

const refused = /401|Failed to load resource/
const field = () => visit.page.locator('.key-field')
const reason = () => field().locator('.problem').textContent()
const weights = () => visit.page.locator('[data-matrix=weights] canvas[style]')

async function visitAt(address: string, options: VisitOptions = {}): Promise<void> {
  visit = await open(browser, `${server.url}/${address}`, options)
}

async function give(text: string): Promise<void> {
  await visit.page.fill('#key', text)
  await visit.page.press('#key', 'Enter')
}

it('asks for a key, says so where it is wrong, and keeps the right one for the tab alone', async () => {
  await visitAt('#attention')
  await expect.poll(reason).toBe('This server wants a key.')
  await visit.expectFault(refused)
  // what helps is said once, where it can be done
  expect(await visit.page.locator('.notice:visible').count()).toBe(0)
  await give('attn_000000000000_wrong')
  await expect.poll(reason).toBe('The server does not take this key.')
  await give(` ${key} `)
  await weights().waitFor()
  expect(await field().isVisible()).toBe(false)
  expect(await visit.page.evaluate(() => [JSON.stringify(localStorage), document.cookie])).toEqual(['{}', ''])
  expect(await visit.page.evaluate(() => location.href)).not.toContain('attn_')
  expect(visit.requests.filter(url => url.includes('attn_'))).toEqual([])
  await visit.page.reload()
  await weights().waitFor()
  expect(await field().isVisible()).toBe(false)
  const other = await open(browser, `${server.url}/#attention`)
  await other.page.locator('.key-field').waitFor()
  await other.expectFault(refused)
  await other.close()
})

it('opens the stream with a ticket, and runs what a link asks for when it has the key', async () => {
  await visitAt('#layers?layers=2&heads=2&run=1')
  await expect.poll(reason).toBe('This server wants a key.')
  await visit.expectFault(refused)
  expect(await noticeOfRun(visit.page).isVisible()).toBe(false)
  await give(key)
  await finished(visit.page)
  expect(await field().isVisible()).toBe(false)
  await visit.page.click('[data-cell=forward-1-0]')
  await expect.poll(() => visit.page.locator('.full-map:not(.waiting):visible').count()).toBe(2)
  await visit.page.click('#run')
  await finished(visit.page)
})

it('asks again when the key is good for nothing any more', async () => {
  const short = await addKey(file, { name: 'short' })
  await visitAt('#attention')
  await visit.expectFault(refused)
  await give(short)
  await weights().waitFor()
  await removeKey(file, 'short')
  await expect
    .poll(async () => {
      await visit.page.selectOption('#causal', 'top_left')
      await visit.page.selectOption('#causal', 'none')
      return await field().isVisible()
    })
    .toBe(true)
  await expect.poll(reason).toBe('The server does not take this key.')
})

it('copies requests that take the key from the environment', async () => {
  await visitAt('#attention', { permissions: ['clipboard-read', 'clipboard-write'] })
  await visit.expectFault(refused)
  await give(key)
  await weights().waitFor()
  for (const name of ['curl', 'python']) {
    await visit.page.click(`[data-export=${name}]`)
    await expect
      .poll(() => visit.page.evaluate(() => navigator.clipboard.readText()))
      .toContain(name === 'curl' ? '$ATTENTION_KEY' : 'os.environ["ATTENTION_KEY"]')
    expect(await visit.page.evaluate(() => navigator.clipboard.readText())).not.toContain('attn_')
  }
})

describe('how it looks', () => {
  it.each([
    ['desktop', 1440, 'light', 'en-US'],
    ['desktop', 1440, 'dark', 'ko-KR'],
    ['phone', 360, 'light', 'ko-KR'],
  ] as const)('%s %i %s %s', async (device, width, colorScheme, locale) => {
    await visitAt('#attention', { colorScheme, locale, viewport: { width, height: 900 } })
    await visit.expectFault(refused)
    await give('attn_000000000000_wrong')
    const words =
      locale === 'ko-KR' ? '서버가 이 키를 받아들이지 않았습니다.' : 'The server does not take this key.'
    await expect.poll(reason).toBe(words)
    await expectAccessible(visit.page)
    await expectNoOverflow(visit.page)
    for (const state of ['rest', 'hover', 'focus', 'pressed'] as const)
      expect(await faintTexts(visit.page, state)).toEqual([])
    await keep(visit.page, `key-${device}-${colorScheme}-${locale.slice(0, 2)}`, false)
  })
})
