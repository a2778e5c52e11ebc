/** The page as a whole: how it is served, in which language and theme, and that it needs nobody else. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { expectAccessible, expectNoOverflow, keep, open } from './page.ts'

const server = await startServer()
const browser = await launchBrowser()

describe('files', () => {
  it('the index is asked for again each time, and allows nothing but the page’s own files', async () => {
    const response = await fetch(server.url)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-cache')
    const policy = response.headers.get('content-security-policy')
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self'")
    expect(policy).not.toContain('unsafe')
  })

  it('hashed files are kept for ever', async () => {
    const html = await (await fetch(server.url)).text()
    const links = [...html.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(([, link]) => link!)
    expect(links.length).toBeGreaterThanOrEqual(3)
    for (const link of links) {
      const response = await fetch(server.url + link)
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    }
  })

  it.each([
    '/assets/none.js',
    '/assets/',
    '/assets/../index.html',
    '/assets/%2e%2e/stamp.txt',
    '/index.html',
  ])('%s is no file of the page', async path => {
    const response = await fetch(server.url + path)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
  })

  it('asks no other server for anything', async () => {
    const visit = await open(browser, server.url)
    await visit.page.waitForSelector('[data-matrix=weights]')
    expect(visit.requests.length).toBeGreaterThan(3)
    expect(visit.requests.filter(url => !url.startsWith(server.url))).toEqual([])
    await visit.close()
  })
})

describe('languages', () => {
  it.each([
    ['ko-KR', 'ko', '어텐션'],
    ['en-GB', 'en', 'Attention'],
    ['de-DE', 'en', 'Attention'],
  ])('%s opens in %s', async (locale, lang, word) => {
    const visit = await open(browser, server.url, { locale })
    expect(await visit.page.getAttribute('html', 'lang')).toBe(lang)
    expect(await visit.page.textContent('nav a')).toBe(word)
    await visit.close()
  })

  it('changes by its button, keeps the focus there, and stays changed', async () => {
    const visit = await open(browser, server.url)
    const { page } = visit
    await page.focus('#language')
    await page.keyboard.press('Enter')
    expect(await page.textContent('nav a')).toBe('어텐션')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('language')
    await page.reload()
    expect(await page.textContent('nav a')).toBe('어텐션')
    await visit.close()
  })

  it('have a text for everything', async () => {
    const { english } = await import('../../web/src/words/english.ts')
    const { korean } = await import('../../web/src/words/korean.ts')
    expect(Object.keys(korean)).toEqual(Object.keys(english))
    for (const [key, text] of Object.entries(korean)) {
      const untranslated = text === english[key as keyof typeof english] && /[a-z]{4}/.test(String(text))
      expect(untranslated && !/^(export|error\w*(Printed|Right))/.test(key), key).toBe(false)
    }
  })
})

describe('themes', () => {
  const background = 'getComputedStyle(document.body).backgroundColor'

  it('follow the system, until the reader chooses', async () => {
    const visit = await open(browser, server.url, { colorScheme: 'dark' })
    const { page } = visit
    const dark = await page.evaluate(background)
    await page.click('#theme')
    const light = await page.evaluate(background)
    expect(light).not.toBe(dark)
    await page.reload()
    expect(await page.evaluate(background)).toBe(light)
    await visit.close()
  })

  it('move nothing for readers who asked for stillness', async () => {
    const visit = await open(browser, server.url)
    const moving = await visit.page.evaluate(
      () =>
        [...document.querySelectorAll('*')].filter(each => getComputedStyle(each).transitionDuration !== '0s')
          .length,
    )
    expect(moving).toBe(0)
    await visit.close()
  })
})

it('the keyboard reaches the content first', async () => {
  const visit = await open(browser, server.url)
  const { page } = visit
  await page.keyboard.press('Tab')
  expect(await page.evaluate(() => document.activeElement?.className)).toBe('skip')
  await page.keyboard.press('Enter')
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('content')
  await visit.close()
})

describe.each(['light', 'dark'] as const)('in %s', colorScheme => {
  it.each(['en', 'ko'])(
    '%s: accessible, and no wider than a phone',
    async locale => {
      for (const [device, width] of [
        ['desktop', 1440],
        ['phone', 360],
      ] as const) {
        const visit = await open(
          browser,
          `${server.url}/#attention?gradients=1&causal=top_left&cell=grad_q,2,1`,
          {
            locale,
            colorScheme,
            viewport: { width, height: 800 },
          },
        )
        await visit.page.waitForSelector('[data-matrix=grad_v] canvas[style]')
        await expectAccessible(visit.page)
        await expectNoOverflow(visit.page)
        await keep(visit.page, `attention-${device}-${colorScheme}-${locale}`)
        await visit.close()
      }
    },
    180_000,
  )
})

it('is built into one place', () => {
  const files = readdirSync(new URL('../../web/dist/', import.meta.url)).sort()
  expect(files).toEqual(['assets', 'index.html', 'stamp.txt'])
})
