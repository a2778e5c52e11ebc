/** Errors of the server: told where they belong, and none ends what it is not about. */
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import {
  factOf,
  finished,
  mapsOf,
  noticeOfMap,
  noticeOfRun,
  openTapped,
  runPaused,
  saidBy,
  startPaused,
  type Tapped,
} from './layers-page.ts'
import type { VisitOptions } from './page.ts'
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

describe('an error of the run', () => {
  it('is told, and ends it', async () => {
    await visitAt('#layers?layers=1')
    tap.keep = ({ type, id }) => {
      const errors = [{ path: '/stack/heads', message: 'expected fewer, got 8' }]
      if (type === 'start')
        tap.say({ type: 'error', id: id!, problem: { status: 400, detail: 'no', errors } })
      return type === 'start'
    }
    await page.click('#run')
    await expect.poll(() => saidBy(noticeOfRun(page))).toBe('/stack/heads: expected fewer, got 8')
    // it would be refused again
    expect(await noticeOfRun(page).locator('button').isVisible()).toBe(false)
    expect(await page.isEnabled('#pause')).toBe(false)
  })
})

describe('an error that is not the run’s', () => {
  const problem = { status: 400, errors: [{ path: '/type', message: 'expected one of start, got stop' }] }

  it('is told, and the run goes on', async () => {
    await visitAt('#layers?layers=12&heads=2')
    await runPaused(page)
    tap.say({ type: 'error', problem })
    await expect
      .poll(() => saidBy(noticeOfRun(page)))
      .toBe(
        'The server did not accept a message of this page; the run goes on. /type: expected one of start, got stop',
      )
    expect(await factOf(page)).toContain('paused')
    expect(await page.isEnabled('#cancel')).toBe(true)
    expect(await noticeOfRun(page).locator('button').isVisible()).toBe(false)
    await page.click('#pause')
    await finished(page)
    expect(await factOf(page)).toContain('24 of 24 layers')
    // the next run is not told of it
    await page.click('#run')
    await expect.poll(() => noticeOfRun(page).isVisible()).toBe(false)
  })

  it('of a fetch is told where the map would be, and the fetch can be tried again', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished(page)
    tap.keep = ({ type, ...fetch }) => {
      if (type !== 'fetch') return false
      const detail = 'expected at most 32 fetches at once on one connection, got one more'
      tap.say({ type: 'error', fetch, problem: { status: 429, detail } })
      return true
    }
    await page.click('[data-cell=forward-1-0]')
    await expect
      .poll(() => saidBy(noticeOfMap(page)))
      .toMatch(/^The server did not send this map. expected at most 32/)
    expect(await noticeOfRun(page).isVisible()).toBe(false)
    expect(await factOf(page)).toContain('all after')
    expect(await mapsOf(page)).toBe(0)
    tap.keep = () => false
    await noticeOfMap(page).locator('text=Try again').click()
    await expect.poll(() => mapsOf(page)).toBe(2)
    expect(await noticeOfMap(page).isVisible()).toBe(false)
  })

  it('of one fetch leaves the other map as it is', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished(page)
    tap.keep = ({ type, ...fetch }) => {
      if (type !== 'fetch' || fetch.tensor !== 'grad_weights') return false
      tap.say({ type: 'error', fetch, problem: { status: 500, detail: 'no' } })
      return true
    }
    await page.click('[data-cell=forward-1-0]')
    await expect
      .poll(() => saidBy(noticeOfMap(page)))
      .toBe('Gradient ∂L/∂P: The server did not send this map. no')
    await expect.poll(() => mapsOf(page)).toBe(1)
  })

  it('of a fetch of another run is nobody’s', async () => {
    await visitAt('#layers?layers=1&heads=1&run=1&map=0,0')
    await finished(page)
    await expect.poll(() => mapsOf(page)).toBe(2)
    const fetch = { id: '99', layer: 0, head: 0, tensor: 'weights' }
    tap.say({ type: 'error', fetch, problem })
    // said after it, and seen: so the page has read both
    tap.say({ type: 'error', problem: { detail: 'another' } })
    await expect.poll(() => saidBy(noticeOfRun(page))).toContain('another')
    expect(await noticeOfMap(page).isVisible()).toBe(false)
    expect(await mapsOf(page)).toBe(2)
  })
})

describe('the maps of a run', () => {
  it('that the server has let go are had by running it again', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished(page)
    // as the server does by itself after a while
    tap.ask({ type: 'release', id: '1' })
    await page.click('[data-cell=backward-0-1]')
    await expect
      .poll(() => saidBy(noticeOfMap(page)))
      .toBe('The server no longer keeps the maps of this run.')
    expect(await factOf(page)).toContain('all after')
    // a control that has been moved since does not change what is run again
    await page.fill('#stack-layers', '5')
    await noticeOfMap(page).locator('text=Run again').click()
    await expect.poll(() => mapsOf(page)).toBe(2)
    expect(await page.inputValue('#stack-layers')).toBe('2')
    expect(await noticeOfMap(page).isVisible()).toBe(false)
  })

  it.each(['', '&tables=1'])('that were never computed are told of (%s)', async tables => {
    await visitAt(`#layers?layers=12&heads=2&map=11,0${tables}`)
    await startPaused(page)
    await expect.poll(() => page.textContent('.detail')).toContain('Not computed yet.')
    await page.click('#cancel')
    await expect.poll(() => saidBy(noticeOfMap(page))).toBe('The run ended before this map was computed.')
    await noticeOfMap(page).locator('text=Run again').click()
    await finished(page)
    await expect.poll(() => noticeOfMap(page).isVisible()).toBe(false)
    if (tables) await page.waitForSelector('[data-table=row]')
    else await expect.poll(() => mapsOf(page)).toBe(2)
  })
})
