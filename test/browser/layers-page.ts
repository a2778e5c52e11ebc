/** The Layers view as the tests drive it: a page with a tap on its stream, and what it says of its run. */
import type { Browser, Page } from 'playwright-core'
import { expect } from 'vitest'
import { CREDIT } from '../../web/src/layers/request.ts'
import { type Opened, open, type VisitOptions } from './page.ts'
import { StreamTap } from './stream-tap.ts'

export interface Tapped extends Opened {
  tap: StreamTap
}

export async function openTapped(
  browser: Browser,
  url: string,
  { prepare, ...options }: VisitOptions = {},
): Promise<Tapped> {
  const tap = new StreamTap()
  const visit = await open(browser, url, {
    ...options,
    prepare: async page => {
      await tap.on(page)
      await prepare?.(page)
    },
  })
  return { ...visit, tap }
}

export const factOf = (page: Page) => page.textContent('.run-fact')

export const finished = (page: Page) =>
  expect.poll(() => factOf(page), { timeout: 60_000 }).toContain('all after')

/** The last layers are drawn a moment after the run is done. */
export const filled = (page: Page, cells: number) =>
  expect.poll(() => page.locator('.cell.filled').count(), { timeout: 60_000 }).toBe(cells)

/** Starts a run and pauses it at once: the server sends what it has credit for, and waits. */
export const startPaused = (page: Page) =>
  page.evaluate(() => {
    for (const id of ['run', 'pause']) document.getElementById(id)!.click()
  })

/** The same with two heads, until what can come has come. */
export async function runPaused(page: Page): Promise<void> {
  await startPaused(page)
  await filled(page, 2 * CREDIT)
}

/** The full maps that are here. */
export const mapsOf = (page: Page) => page.locator('.full-map:not(.waiting):visible').count()

/** The notices of the run and of the head that is open, and what they say. */
export const noticeOfRun = (page: Page) => page.locator('.layers-view > .notice')
export const noticeOfMap = (page: Page) => page.locator('.detail > .notice')
export const saidBy = (notice: ReturnType<typeof noticeOfRun>) => notice.locator('.problem').textContent()
