/** A server that is silent or goes away: the reader is told what happened, and what helps is one button away. */
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { faintTexts } from './contrast.ts'
import {
  factOf,
  finished,
  mapsOf,
  noticeOfMap,
  noticeOfRun,
  openTapped,
  runPaused,
  saidBy,
  type Tapped,
} from './layers-page.ts'
import { expectAccessible, expectNoOverflow, keep, type VisitOptions } from './page.ts'
import type { StreamTap } from './stream-tap.ts'

const server = await startServer()
const browser = await launchBrowser()

let visit: Tapped
let page: Page
let tap: StreamTap

async function visitAt(address: string, options: VisitOptions = {}): Promise<void> {
  visit = await openTapped(browser, `${server.url}/${address}`, options)
  page = visit.page
  tap = visit.tap
}

afterEach(() => visit.close())

/** Timers of the page go forward at the test's word. */
const withClock = { prepare: (opened: Page) => opened.clock.install() }

/** From here on time passes only where the test says so. */
const stopTime = async () => page.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000)

const noticeOfAttention = () => page.locator('.attention-view > .notice')

describe('a server that goes away', () => {
  it('and comes back: a head that is opened says so, and is had by running again', async () => {
    const first = await startServer()
    visit = await openTapped(browser, `${first.url}/#layers?layers=2&heads=2&run=1&map=0,0`)
    page = visit.page
    await finished(page)
    await expect.poll(() => mapsOf(page)).toBe(2)
    await first.app.close()
    await page.click('[data-cell=forward-1-1]')
    await expect
      .poll(() => saidBy(noticeOfMap(page)))
      .toBe('The connection to the server was lost before this map was fetched.')
    expect(await mapsOf(page)).toBe(0)
    await keep(page, 'lost-map')
    // what is here stays
    await page.click('[data-cell=forward-0-0]')
    await expect.poll(() => mapsOf(page)).toBe(2)
    await page.click('[data-cell=forward-1-1]')
    await noticeOfMap(page).locator('text=Run again').click()
    await expect.poll(() => saidBy(noticeOfRun(page))).toBe('The server cannot be reached.')
    await visit.expectFault(/ERR_CONNECTION_REFUSED/)
    const again = await startServer({ PORT: new URL(first.url).port })
    expect(again.url).toBe(first.url)
    await noticeOfRun(page).locator('text=Run again').click()
    await finished(page)
    await expect.poll(() => mapsOf(page)).toBe(2)
    expect(await page.textContent('#detail-title')).toBe('Layer 2, head 2')
    expect(await page.locator('.notice:visible').count()).toBe(0)
  })

  it('while a map is on its way', async () => {
    await visitAt('#layers?layers=1&heads=2&run=1', withClock)
    await finished(page)
    // nothing here is told because it has taken long
    await stopTime()
    tap.keep = ({ type }) => type === 'fetch'
    await page.click('[data-cell=forward-0-1]')
    await expect.poll(() => page.textContent('.detail')).toContain('Fetching the map…')
    expect(await noticeOfMap(page).isVisible()).toBe(false)
    await tap.cut()
    await expect.poll(() => saidBy(noticeOfMap(page))).toMatch(/^The connection to the server was lost/)
  })

  it('while a run is under way, with what it said last', async () => {
    await visitAt('#layers?layers=3&heads=2')
    await runPaused(page)
    tap.say({ type: 'error', problem: { status: 503, detail: 'too many messages are arriving' } })
    await tap.cut()
    await expect
      .poll(() => saidBy(noticeOfRun(page)))
      .toBe('The connection to the server was lost. too many messages are arriving')
    expect(await page.isEnabled('#pause')).toBe(false)
    await noticeOfRun(page).locator('text=Run again').click()
    await finished(page)
    expect(tap.connections).toBe(2)
  })

  it('after saying so: the next run asks for another connection', async () => {
    await visitAt('#layers?layers=1&heads=1&run=1')
    await finished(page)
    tap.say({ type: 'going_away' })
    await page.click('#run')
    await expect.poll(() => tap.count('done')).toBe(2)
    expect(tap.connections).toBe(2)
  })

  it('after saying where the run stands: it goes on over another connection, each frame once', async () => {
    await visitAt('#layers?layers=5&heads=2')
    await runPaused(page)
    const came = tap.count('layer')
    const started = () => tap.sent.filter(({ type }) => type === 'start')
    const [{ id }] = started()
    tap.say({ type: 'going_away', resume: [{ id, pass: 'forward', from_layer: came }] })
    await expect.poll(() => started().length).toBe(2)
    expect(started()[1].resume).toMatchObject({ pass: 'forward', from_layer: came })
    expect(started()[1].resume).toMatchObject({ id: started()[1].id })
    await page.click('#pause')
    await finished(page)
    // both passes
    expect(tap.count('layer')).toBe(10)
    expect(tap.connections).toBe(2)
    await page.click('[data-cell=forward-0-0]')
    await expect.poll(() => mapsOf(page)).toBe(2)
  })

  it('and is refused for the moment: the run can be run again', async () => {
    await visitAt('#layers?layers=1&heads=1')
    tap.keep = ({ type, id }) => {
      if (type !== 'start') return false
      tap.say({ type: 'error', id: id!, problem: { status: 503, detail: 'this server is shutting down' } })
      return true
    }
    await page.click('#run')
    await expect.poll(() => saidBy(noticeOfRun(page))).toBe('this server is shutting down')
    tap.keep = () => false
    await noticeOfRun(page).locator('text=Run again').click()
    await finished(page)
  })

  it('and says what cannot be read', async () => {
    await visitAt('#layers?layers=3&heads=2')
    await runPaused(page)
    tap.say('{"type":')
    await expect.poll(() => saidBy(noticeOfRun(page))).toBe('The connection to the server was lost.')
  })

  it('is told on the Attention view, and asked again', async () => {
    await visitAt('#attention?tables=1')
    await page.waitForSelector('[data-table=weights]')
    await page.route('**/v1/attention', route => route.abort())
    await page.fill('#queries', '2')
    await expect.poll(() => saidBy(noticeOfAttention())).toBe('The server cannot be reached.')
    await visit.expectFault(/ERR_FAILED/)
    await page.unroute('**/v1/attention')
    await noticeOfAttention().locator('text=Try again').click()
    await expect.poll(() => page.locator('[data-table=weights] tbody tr').count()).toBe(2)
    expect(await noticeOfAttention().isVisible()).toBe(false)
  })
})

describe('a server that does not answer', () => {
  const silent = 'The server has not answered for 10 seconds.'

  it('to a run is told of; the run can be cancelled, or run again over another connection', async () => {
    await visitAt('#layers?layers=1&heads=1', withClock)
    await stopTime()
    tap.keep = ({ type }) => type === 'start'
    const runInVain = async () => {
      await page.click('#run')
      await page.clock.runFor(9999)
      expect(await noticeOfRun(page).isVisible()).toBe(false)
      await page.clock.runFor(1)
      expect(await saidBy(noticeOfRun(page))).toBe(silent)
    }
    await runInVain()
    await page.click('#cancel')
    expect(await factOf(page)).toContain('cancelled')
    expect(await noticeOfRun(page).isVisible()).toBe(false)
    await runInVain()
    tap.keep = () => false
    await noticeOfRun(page).locator('text=Run again').click()
    expect(await noticeOfRun(page).isVisible()).toBe(false)
    await page.clock.resume()
    await finished(page)
    expect(tap.connections).toBe(3)
  })

  it('to a fetch is told of', async () => {
    await visitAt('#layers?layers=1&heads=2&run=1', withClock)
    await finished(page)
    await stopTime()
    tap.keep = ({ type }) => type === 'fetch'
    await page.click('[data-cell=forward-0-1]')
    expect(await page.textContent('.detail')).toContain('Fetching the map…')
    await page.clock.runFor(9999)
    expect(await noticeOfMap(page).isVisible()).toBe(false)
    await page.clock.runFor(1)
    expect(await saidBy(noticeOfMap(page))).toBe(silent)
    expect(await noticeOfRun(page).isVisible()).toBe(false)
    tap.keep = () => false
    await page.clock.resume()
    await noticeOfMap(page).locator('text=Run again').click()
    await expect.poll(() => mapsOf(page)).toBe(2)
    expect(await noticeOfMap(page).isVisible()).toBe(false)
  })

  it('is not blamed while it waits for the page', async () => {
    await visitAt('#layers?layers=12&heads=2', withClock)
    await runPaused(page)
    await page.clock.fastForward(60_000)
    expect(await noticeOfRun(page).isVisible()).toBe(false)
  })

  it('on the Attention view is told of, and no longer waited for when it is asked again', async () => {
    await visitAt('#attention?tables=1', withClock)
    await page.waitForSelector('[data-table=weights]')
    // the first request is never answered
    let asked = 0
    await page.route('**/v1/attention', async route => {
      asked++
      if (asked > 1) await route.continue()
    })
    await page.fill('#queries', '2')
    await expect.poll(() => asked).toBe(1)
    await page.clock.fastForward(10_000)
    await expect.poll(() => saidBy(noticeOfAttention())).toBe(silent)
    // what was answered before is still there
    expect(await page.locator('[data-table=weights] tbody tr').count()).toBe(3)
    await noticeOfAttention().locator('text=Try again').click()
    await expect.poll(() => page.locator('[data-table=weights] tbody tr').count()).toBe(2)
    expect(await noticeOfAttention().isVisible()).toBe(false)
  })
})

describe('how it looks', () => {
  it.each([
    ['desktop', 1440, 'light', 'en-US'],
    ['desktop', 1440, 'dark', 'ko-KR'],
    ['phone', 360, 'light', 'ko-KR'],
    ['phone', 360, 'dark', 'en-US'],
  ] as const)('%s %i %s %s', async (device, width, colorScheme, locale) => {
    await visitAt('#layers?layers=3&heads=2&run=1', {
      colorScheme,
      locale,
      viewport: { width, height: 900 },
    })
    await expect.poll(() => tap.count('done')).toBe(1)
    tap.keep = ({ type }) => type === 'fetch'
    await page.click('[data-cell=forward-1-1]')
    await page.waitForSelector('.full-map.waiting')
    const look = async (moment: string) => {
      await expectAccessible(page)
      await expectNoOverflow(page)
      for (const state of ['rest', 'hover', 'focus', 'pressed'] as const) {
        expect(await faintTexts(page, state), moment).toEqual([])
      }
      await keep(page, `${moment}-${device}-${colorScheme}-${locale.slice(0, 2)}`)
    }
    await look('waiting')
    await tap.cut()
    await expect.poll(() => noticeOfMap(page).isVisible()).toBe(true)
    await look('lost')
    tap.keep = () => false
    await runPaused(page)
    // while a map is awaited, an error may be about it
    await expect.poll(() => mapsOf(page)).toBe(1)
    tap.say({
      type: 'error',
      problem: { errors: [{ path: '/add', message: 'expected a number, got null' }] },
    })
    await expect.poll(() => noticeOfRun(page).isVisible()).toBe(true)
    await look('message')
  })
})
