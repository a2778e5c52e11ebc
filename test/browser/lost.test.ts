/** A server that errs, is silent or goes away: the reader is told what happened, and what helps is one button away. */
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { CREDIT } from '../../web/src/layers/request.ts'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { faintTexts } from './contrast.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open, type VisitOptions } from './page.ts'
import { StreamTap } from './stream-tap.ts'

const server = await startServer()
const browser = await launchBrowser()

let visit: Opened
let page: Page
let tap: StreamTap

async function visitAt(address: string, options: VisitOptions = {}): Promise<void> {
  const prepare = async (opened: Page) => {
    tap = await StreamTap.on(opened)
    await options.prepare?.(opened)
  }
  visit = await open(browser, `${server.url}/${address}`, { ...options, prepare })
  page = visit.page
}

/** Timers of the page go forward at the test's word. */
const withClock = { prepare: (opened: Page) => opened.clock.install() }

afterEach(() => visit.close())

const fact = () => page.textContent('.run-fact')
const finished = () => expect.poll(fact, { timeout: 60_000 }).toContain('all after')
/** the notice above the grid, and the one of the head that is open */
const ofRun = () => page.locator('.layers-view > .notice')
const ofMap = () => page.locator('.detail > .notice')
const ofAttention = () => page.locator('.attention-view > .notice')
const said = (notice: ReturnType<typeof ofRun>) => notice.locator('.problem').textContent()
const filledMaps = () => page.locator('.full-map:not(.waiting):visible').count()

/** Runs a stack of two heads and pauses it at once: the server sends what it has credit for, and waits. */
async function runPaused(): Promise<void> {
  await page.evaluate(() => {
    for (const id of ['run', 'pause']) document.getElementById(id)!.click()
  })
  await expect.poll(() => page.locator('.cell.filled').count()).toBe(2 * CREDIT)
  expect(tap.credit).toBe(0)
}

describe('an error that is not the run’s', () => {
  const problem = { status: 400, errors: [{ path: '/type', message: 'expected one of start, got stop' }] }

  it('is told, and the run goes on', async () => {
    await visitAt('#layers?layers=12&heads=2')
    await runPaused()
    tap.say({ type: 'error', problem })
    await expect
      .poll(() => said(ofRun()))
      .toBe(
        'The server did not accept a message of this page; the run goes on. /type: expected one of start, got stop',
      )
    expect(await fact()).toContain('paused')
    expect(await page.isEnabled('#cancel')).toBe(true)
    expect(await ofRun().locator('button').isVisible()).toBe(false)
    await page.click('#pause')
    await finished()
    expect(await fact()).toContain('24 of 24 layers')
    // the next run is not told of it
    await page.click('#run')
    await expect.poll(() => ofRun().isVisible()).toBe(false)
  })

  it('of a fetch is told where the map would be, and the fetch can be tried again', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished()
    tap.keep = ({ type, ...fetch }) => {
      if (type !== 'fetch') return false
      const detail = 'expected at most 32 fetches at once on one connection, got one more'
      tap.say({ type: 'error', fetch, problem: { status: 429, detail } })
      return true
    }
    await page.click('[data-cell=forward-1-0]')
    await expect.poll(() => said(ofMap())).toMatch(/^The server did not send this map. expected at most 32/)
    expect(await ofRun().isVisible()).toBe(false)
    expect(await fact()).toContain('all after')
    expect(await filledMaps()).toBe(0)
    tap.keep = () => false
    await ofMap().locator('text=Try again').click()
    await expect.poll(filledMaps).toBe(2)
    expect(await ofMap().isVisible()).toBe(false)
  })

  it('of one fetch leaves the other map as it is', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished()
    tap.keep = ({ type, ...fetch }) => {
      if (type !== 'fetch' || fetch.tensor !== 'grad_weights') return false
      tap.say({ type: 'error', fetch, problem: { status: 500, detail: 'no' } })
      return true
    }
    await page.click('[data-cell=forward-1-0]')
    await expect.poll(() => said(ofMap())).toBe('Gradient ∂L/∂P: The server did not send this map. no')
    await expect.poll(filledMaps).toBe(1)
  })

  it('of a fetch of another run is nobody’s', async () => {
    await visitAt('#layers?layers=1&heads=1&run=1&map=0,0')
    await finished()
    await expect.poll(filledMaps).toBe(2)
    const fetch = { id: '99', layer: 0, head: 0, tensor: 'weights' }
    tap.say({ type: 'error', fetch, problem })
    // said after it, and seen: so the page has read both
    tap.say({ type: 'error', problem: { detail: 'another' } })
    await expect.poll(() => said(ofRun())).toContain('another')
    expect(await ofMap().isVisible()).toBe(false)
    expect(await filledMaps()).toBe(2)
  })
})

describe('the maps of a run', () => {
  it('that the server has let go are had by running it again', async () => {
    await visitAt('#layers?layers=2&heads=2&run=1')
    await finished()
    // as the server does by itself after a while
    tap.ask({ type: 'release', id: '1' })
    await page.click('[data-cell=backward-0-1]')
    await expect.poll(() => said(ofMap())).toBe('The server no longer keeps the maps of this run.')
    expect(await fact()).toContain('all after')
    // a control that has been moved since does not change what is run again
    await page.fill('#stack-layers', '5')
    await ofMap().locator('text=Run again').click()
    await expect.poll(filledMaps).toBe(2)
    expect(await page.inputValue('#stack-layers')).toBe('2')
    expect(await ofMap().isVisible()).toBe(false)
  })

  it.each(['', '&tables=1'])('that were never computed are told of (%s)', async tables => {
    await visitAt(`#layers?layers=12&heads=2&map=11,0${tables}`)
    await page.evaluate(() => {
      for (const id of ['run', 'pause']) document.getElementById(id)!.click()
    })
    await expect.poll(() => page.textContent('.detail')).toContain('Not computed yet.')
    await page.click('#cancel')
    await expect.poll(() => said(ofMap())).toBe('The run ended before this map was computed.')
    await ofMap().locator('text=Run again').click()
    await finished()
    await expect.poll(() => ofMap().isVisible()).toBe(false)
    if (tables) await page.waitForSelector('[data-table=row]')
    else await expect.poll(filledMaps).toBe(2)
  })
})

describe('a server that goes away', () => {
  it('and comes back: a head that is opened says so, and is had by running again', async () => {
    const first = await startServer()
    visit = await open(browser, `${first.url}/#layers?layers=2&heads=2&run=1&map=0,0`)
    page = visit.page
    await finished()
    await expect.poll(filledMaps).toBe(2)
    await first.app.close()
    await page.click('[data-cell=forward-1-1]')
    await expect
      .poll(() => said(ofMap()))
      .toBe('The connection to the server was lost before this map was fetched.')
    expect(await filledMaps()).toBe(0)
    await keep(page, 'lost-map')
    // what is here stays
    await page.click('[data-cell=forward-0-0]')
    await expect.poll(filledMaps).toBe(2)
    await page.click('[data-cell=forward-1-1]')
    await ofMap().locator('text=Run again').click()
    await expect.poll(() => said(ofRun())).toBe('The server cannot be reached.')
    await visit.expectFault(/ERR_CONNECTION_REFUSED/)
    const again = await startServer({ PORT: new URL(first.url).port })
    expect(again.url).toBe(first.url)
    await ofRun().locator('text=Run again').click()
    await finished()
    await expect.poll(filledMaps).toBe(2)
    expect(await page.textContent('#detail-title')).toBe('Layer 2, head 2')
    expect(await page.locator('.notice:visible').count()).toBe(0)
  })

  it('while a map is on its way', async () => {
    await visitAt('#layers?layers=1&heads=2&run=1', withClock)
    await finished()
    // time stands still: nothing here is told because it has taken long
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000)
    tap.keep = ({ type }) => type === 'fetch'
    await page.click('[data-cell=forward-0-1]')
    await expect.poll(() => page.textContent('.detail')).toContain('Fetching the map…')
    expect(await ofMap().isVisible()).toBe(false)
    await tap.cut()
    await expect.poll(() => said(ofMap())).toMatch(/^The connection to the server was lost/)
  })

  it('while a run is under way, with what it said last', async () => {
    await visitAt('#layers?layers=3&heads=2')
    await runPaused()
    tap.say({ type: 'error', problem: { status: 503, detail: 'too many messages are arriving' } })
    await tap.cut()
    await expect
      .poll(() => said(ofRun()))
      .toBe('The connection to the server was lost. too many messages are arriving')
    expect(await page.isEnabled('#pause')).toBe(false)
    await ofRun().locator('text=Run again').click()
    await finished()
    expect(tap.connections).toBe(2)
  })

  it('after saying so: the next run asks for another connection', async () => {
    await visitAt('#layers?layers=1&heads=1&run=1')
    await finished()
    tap.say({ type: 'going_away' })
    await page.click('#run')
    await expect.poll(() => tap.count('done')).toBe(2)
    expect(tap.connections).toBe(2)
  })

  it('and is refused for the moment: the run can be run again', async () => {
    await visitAt('#layers?layers=1&heads=1')
    tap.keep = ({ type, id }) => {
      if (type !== 'start') return false
      tap.say({ type: 'error', id: id!, problem: { status: 503, detail: 'this server is shutting down' } })
      return true
    }
    await page.click('#run')
    await expect.poll(() => said(ofRun())).toBe('this server is shutting down')
    tap.keep = () => false
    await ofRun().locator('text=Run again').click()
    await finished()
  })

  it('and says what cannot be read', async () => {
    await visitAt('#layers?layers=3&heads=2')
    await runPaused()
    tap.say('{"type":')
    await expect.poll(() => said(ofRun())).toBe('The connection to the server was lost.')
  })

  it('is told on the Attention view, and asked again', async () => {
    await visitAt('#attention?tables=1')
    await page.waitForSelector('[data-table=weights]')
    await page.route('**/v1/attention', route => route.abort())
    await page.fill('#queries', '2')
    await expect.poll(() => said(ofAttention())).toBe('The server cannot be reached.')
    await visit.expectFault(/ERR_FAILED/)
    await page.unroute('**/v1/attention')
    await ofAttention().locator('text=Try again').click()
    await expect.poll(() => page.locator('[data-table=weights] tbody tr').count()).toBe(2)
    expect(await ofAttention().isVisible()).toBe(false)
  })
})

describe('a server that does not answer', () => {
  const silent = 'The server has not answered for 10 seconds.'

  it('to a run is told of; the run can be cancelled, or run again over another connection', async () => {
    await visitAt('#layers?layers=1&heads=1', withClock)
    tap.mute = true
    for (const [number, button] of ['#cancel', '.notice button'].entries()) {
      await page.click('#run')
      await page.clock.fastForward(9000)
      expect(await ofRun().isVisible()).toBe(false)
      await page.clock.fastForward(1000)
      await expect.poll(() => said(ofRun())).toBe(silent)
      tap.mute = number === 0
      await page.locator(button).first().click()
      if (number === 0) await expect.poll(fact).toContain('cancelled')
      await expect.poll(() => ofRun().isVisible()).toBe(false)
    }
    await finished()
    expect(tap.connections).toBe(3)
  })

  it('to a fetch is told of', async () => {
    await visitAt('#layers?layers=1&heads=2&run=1', withClock)
    await finished()
    tap.mute = true
    await page.click('[data-cell=forward-0-1]')
    await expect.poll(() => page.textContent('.detail')).toContain('Fetching the map…')
    await page.clock.fastForward(10_000)
    await expect.poll(() => said(ofMap())).toBe(silent)
    expect(await ofRun().isVisible()).toBe(false)
    tap.mute = false
    await ofMap().locator('text=Run again').click()
    await expect.poll(filledMaps).toBe(2)
    expect(await ofMap().isVisible()).toBe(false)
  })

  it('is not blamed while it waits for the page', async () => {
    await visitAt('#layers?layers=12&heads=2', withClock)
    await runPaused()
    await page.clock.fastForward(60_000)
    expect(await ofRun().isVisible()).toBe(false)
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
    await expect.poll(() => said(ofAttention())).toBe(silent)
    // what was answered before is still there
    expect(await page.locator('[data-table=weights] tbody tr').count()).toBe(3)
    await ofAttention().locator('text=Try again').click()
    await expect.poll(() => page.locator('[data-table=weights] tbody tr').count()).toBe(2)
    expect(await ofAttention().isVisible()).toBe(false)
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
    await expect.poll(() => ofMap().isVisible()).toBe(true)
    await look('lost')
    tap.keep = () => false
    await runPaused()
    // while a map is awaited, an error may be about it
    await expect.poll(filledMaps).toBe(1)
    tap.say({
      type: 'error',
      problem: { errors: [{ path: '/add', message: 'expected a number, got null' }] },
    })
    await expect.poll(() => ofRun().isVisible()).toBe(true)
    await look('message')
  })
})
