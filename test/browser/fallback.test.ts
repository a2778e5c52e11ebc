/** A browser that keeps nothing, or does not run the script: the page works, or says in its HTML why it does not. */
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { faintTexts } from './contrast.ts'
import { expectAccessible, expectNoOverflow, keep, open } from './page.ts'

const server = await startServer()
const browser = await launchBrowser()

const SCRIPT = '**/assets/*.js'
const STYLE = '**/assets/*.css'

describe('storage', () => {
  /** Each way in which browsers keep their storage from a page. */
  const DENIALS: Record<string, () => void> = {
    'that may not be looked at': () => {
      for (const name of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, name, {
          get() {
            throw new DOMException('The operation is insecure.', 'SecurityError')
          },
        })
      }
    },
    'that is not there': () => {
      for (const name of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, name, { value: null })
      }
    },
    'that is full': () => {
      Storage.prototype.setItem = () => {
        throw new DOMException('The quota has been exceeded.', 'QuotaExceededError')
      }
    },
  }

  it.each(Object.keys(DENIALS))(
    '%s: everything works, but that the next visit remembers nothing',
    async name => {
      const prepare = (page: Page) => page.addInitScript(DENIALS[name]!)
      const visit = await open(browser, `${server.url}/#attention?tables=1`, { prepare })
      const { page } = visit
      await page.waitForSelector('[data-table=weights]')
      await page.click('#theme')
      expect(await page.getAttribute('html', 'data-theme')).toBe('dark')
      await page.click('#language')
      expect(await page.textContent('nav a')).toBe('어텐션')
      await page.click('[data-view=layers]')
      await page.click('#run')
      await expect.poll(() => page.textContent('.run-fact'), { timeout: 60_000 }).toContain('모두')
      await page.reload()
      await page.waitForSelector('#run')
      expect(await page.getAttribute('html', 'lang')).toBe('en')
      await visit.close()
    },
  )
})

describe('the script', () => {
  const answer = (body: string) => (page: Page) =>
    page.route(SCRIPT, route => route.fulfill({ contentType: 'text/javascript', body }))
  const FAILURES: Record<
    string,
    { prepare?: (page: Page) => Promise<unknown>; javaScriptEnabled?: boolean; fault?: RegExp }
  > = {
    'turned off': { javaScriptEnabled: false },
    'not to be had': { prepare: page => page.route(SCRIPT, route => route.abort()), fault: /ERR_FAILED/ },
    'newer than the browser': { prepare: answer('let x = 1 ~> 2'), fault: /SyntaxError/ },
    'failing at once': { prepare: answer('throw new Error("at once")'), fault: /at once/ },
    'failing where it draws': {
      prepare: page => page.addInitScript(() => Reflect.deleteProperty(window, 'ResizeObserver')),
      fault: /ResizeObserver is not defined/,
    },
    'without its style sheet': {
      prepare: async page => {
        await page.route(SCRIPT, route => route.abort())
        await page.route(STYLE, route => route.abort())
      },
      fault: /ERR_FAILED/,
    },
  }

  it.each(Object.keys(FAILURES))('%s: the HTML says so, in both languages, and where to go', async name => {
    const { fault, ...options } = FAILURES[name]!
    const viewport = { width: 360, height: 740 }
    const visit = await open(browser, server.url, { ...options, viewport })
    const { page } = visit
    await page.waitForSelector('.fallback', { state: 'visible' })
    const said = await page.innerText('body')
    expect(said).toContain('JavaScript is turned off')
    expect(said).toContain('JavaScript가 꺼져')
    const links = await page.$$eval('.fallback a', found => found.map(link => link.getAttribute('href')))
    expect(new Set(links)).toEqual(new Set(['./', 'docs', 'openapi.json']))
    for (const link of new Set(links)) {
      expect((await fetch(new URL(link!, server.url))).status, link!).toBe(200)
    }
    await expectNoOverflow(page)
    await keep(page, `fallback-${name.replaceAll(' ', '-')}`)
    if (fault !== undefined) await visit.expectFault(fault)
    await visit.close()
  })

  it.each(['light', 'dark'] as const)('missing, in %s: accessible', async colorScheme => {
    const prepare = (page: Page) => page.route(SCRIPT, route => route.abort())
    const visit = await open(browser, server.url, { colorScheme, prepare })
    await visit.page.waitForSelector('.fallback', { state: 'visible' })
    await expectAccessible(visit.page)
    for (const state of ['rest', 'hover', 'focus'] as const) {
      expect(await faintTexts(visit.page, state)).toEqual([])
    }
    await keep(visit.page, `fallback-${colorScheme}`)
    await visit.expectFault(/ERR_FAILED/)
    await visit.close()
  })

  it('on its way: nothing is said or fetched before its time, and nothing of it is left', async () => {
    const asked = Promise.withResolvers<Page>()
    const held = Promise.withResolvers<void>()
    const prepare = async (page: Page) => {
      // animations stand still: their moments are set below
      const debug = await page.context().newCDPSession(page)
      await debug.send('Animation.enable')
      await debug.send('Animation.setPlaybackRate', { playbackRate: 0 })
      await page.route(SCRIPT, async route => {
        asked.resolve(page)
        await held.promise
        await route.continue()
      })
    }
    // it is open when the script has run, and is looked at before
    const opening = open(browser, server.url, { prepare })
    const page = await asked.promise
    await page.waitForFunction(() => document.querySelector('.fallback')?.getAnimations().length === 1)
    const shown = await page.evaluate(() => {
      const fallback = document.querySelector('.fallback')!
      const [waiting] = fallback.getAnimations()
      waiting!.pause()
      return [0, 1999, 2000].map(moment => {
        waiting!.currentTime = moment
        const { visibility } = getComputedStyle(fallback)
        const korean = [...document.fonts].filter(({ family }) => family.includes('Noto Sans KR'))
        return [visibility, korean.length > 0 && korean.some(({ status }) => status !== 'unloaded')]
      })
    })
    expect(shown.slice(0, 2)).toEqual([
      ['hidden', false],
      ['hidden', false],
    ])
    expect(shown[2]![0]).toBe('visible')
    held.resolve()
    const visit = await opening
    await visit.page.waitForSelector('[data-matrix=weights]')
    expect(await visit.page.locator('.fallback').count()).toBe(0)
    expect(await visit.page.locator('main').count()).toBe(1)
    await visit.close()
  })
})
