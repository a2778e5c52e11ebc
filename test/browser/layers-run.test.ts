/** A run of the Layers view under way: its pauses, its credit, and how its layers are painted as they come. */
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { CREDIT } from '../../web/src/layers/request.ts'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { factOf, filled, finished, openTapped, runPaused, type Tapped } from './layers-page.ts'
import type { VisitOptions } from './page.ts'
import { watched, watchPainting } from './paint-watch.ts'
import type { StreamTap } from './stream-tap.ts'

const server = await startServer()
const browser = await launchBrowser()

let visit: Tapped
let page: Page
let tap: StreamTap

async function visitAt(state: string, options: VisitOptions = {}): Promise<void> {
  visit = await openTapped(browser, `${server.url}/#layers?${state}`, options)
  page = visit.page
  tap = visit.tap
}

afterEach(() => visit.close())

const fact = () => factOf(page)

describe('under way', () => {
  /** Runs, and presses a button as soon as a number of layers is there. */
  const pressAt = (frames: number, button: string) =>
    page.evaluate(
      async ([frames, button]) => {
        document.querySelector<HTMLElement>('#run')!.click()
        while (Number.parseInt(document.querySelector('.run-fact')!.textContent!, 10) < frames) {
          await new Promise(requestAnimationFrame)
        }
        document.querySelector<HTMLElement>(button)!.click()
      },
      [frames, button] as const,
    )

  it('it pauses when acknowledgements wait, and goes on', async () => {
    await visitAt('layers=24&heads=2')
    await runPaused(page)
    // what the server had credit for is drawn, and not acknowledged
    await page.evaluate(() => new Promise(requestAnimationFrame))
    expect(tap.credit).toBe(0)
    expect(tap.count('layer')).toBe(CREDIT)
    expect(await fact()).toMatch(/^2 of 48 layers · paused/)
    await page.click('#pause')
    await finished(page)
    expect(await fact()).toContain('48 of 48 layers')
    const credits = tap.sent.filter(({ type }) => type === 'credit')
    expect(credits[0]).toEqual({ type: 'credit', id: '1', add: CREDIT })
  })

  it('it is cancelled, and can be run again', async () => {
    await visitAt('layers=24&heads=2')
    await pressAt(2, '#cancel')
    await expect.poll(fact).toContain('cancelled')
    expect(await page.locator('.cell.filled').count()).toBeLessThan(96)
    await page.click('#run')
    await finished(page)
    await filled(page, 96)
  })

  it('another run takes its place', async () => {
    await visitAt('layers=24&heads=2')
    await pressAt(2, '#run')
    await finished(page)
    await filled(page, 96)
  })

  it('the reader may look at another view, and come back to a finished run', async () => {
    await visitAt('layers=6&heads=2')
    await pressAt(1, '[data-view=attention]')
    await page.waitForSelector('[data-matrix=weights]')
    await expect.poll(() => tap.count('done')).toBe(1)
    await page.click('[data-view=layers]')
    await finished(page)
    await filled(page, 24)
  })

  it('the slider goes back and forth', async () => {
    await visitAt('layers=4&heads=2&run=1')
    await finished(page)
    await page.focus('#scrub')
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    expect(await page.locator('.cell:not(.later)').count()).toBe(4)
    expect(await page.getAttribute('#scrub', 'aria-valuetext')).toBe('2 of 8 layers shown')
    await page.keyboard.press('End')
    expect(await page.locator('.cell.later').count()).toBe(0)
  })

  it('never more layers are on their way than the page said it can draw', async () => {
    await visitAt('layers=6&heads=2')
    await page.click('#run')
    await finished(page)
    expect(tap.count('layer')).toBe(12)
    expect(tap.most).toBeGreaterThan(0)
    expect(tap.most).toBeLessThanOrEqual(CREDIT)
  })
})

describe('1024 tokens, 8 heads, 6 layers, both passes', () => {
  const HEADS = 8
  const SIDE = 128
  const BAND = 1 << 16

  it('come as small pictures, each painted in a frame of the screen before its layer is acknowledged', async () => {
    await visitAt('tokens=1024', { prepare: opened => opened.addInitScript(watchPainting) })
    await page.click('#run')
    await finished(page)
    await filled(page, 96)
    // a byte a pixel of the pictures, four a row of the entropies, and their header; the maps themselves are 32 MB a layer
    const bytes = tap.came.filter(({ type }) => type === 'layer').map(message => Number(message.bytes))
    expect(bytes.length).toBe(12)
    expect(Math.max(...bytes)).toBeLessThan(HEADS * (SIDE ** 2 + 4 * 1024) + 4096)
    await expect.poll(async () => (await watched(page)).acknowledged.length).toBe(12)
    const { painted, acknowledged } = await watched(page)
    expect(painted.length).toBe(96)
    expect(painted.filter(({ pixels, frame }) => pixels > SIDE ** 2 || frame === 0)).toEqual([])
    const early = acknowledged.filter((pictures, index) => pictures < HEADS * (index + 1))
    expect(early).toEqual([])
  }, 180_000)

  it('open as maps of a million pairs, painted in bands', async () => {
    await visitAt('tokens=1024&layers=1&run=1', { prepare: opened => opened.addInitScript(watchPainting) })
    await finished(page)
    await filled(page, 16)
    const before = (await watched(page)).painted.length
    await page.click('[data-cell=forward-0-7]')
    const bands = async () => (await watched(page)).painted.slice(before)
    await expect.poll(async () => (await bands()).length).toBe((2 * 1024 ** 2) / BAND)
    expect((await bands()).filter(({ pixels, frame }) => pixels !== BAND || frame === 0)).toEqual([])
  }, 180_000)
})
