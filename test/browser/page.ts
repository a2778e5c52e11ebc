/** A page of the server under test, and what must never happen on it. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { expect } from 'vitest'

const ARTEFACTS = fileURLToPath(new URL('../artefacts/', import.meta.url))
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface Opened {
  page: Page
  /** every URL asked for */
  requests: string[]
  /** Waits for a fault that belongs to the test; it and all others like it are none. */
  expectFault(pattern: RegExp): Promise<void>
  /** ends the visit; fails where the console told of an error, or a request failed */
  close(): Promise<void>
}

export interface VisitOptions extends BrowserContextOptions {
  /** done to the page before it is opened */
  prepare?: (page: Page) => Promise<unknown>
}

export async function open(
  browser: Browser,
  url: string,
  { prepare, ...options }: VisitOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    colorScheme: 'light',
    locale: 'en-US',
    // nothing in the tests needs to wait for a movement to end
    reducedMotion: 'reduce',
    ...options,
  })
  const page = await context.newPage()
  const faults: string[] = []
  const expected: RegExp[] = []
  const requests: string[] = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', error => faults.push(`${error}\n${error.stack}`))
  page.on('request', request => void requests.push(request.url()))
  page.on('response', response => {
    if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`)
  })
  await prepare?.(page)
  await page.goto(url)
  return {
    page,
    requests,
    async expectFault(pattern) {
      expected.push(pattern)
      await expect.poll(() => faults.filter(fault => pattern.test(fault))).not.toEqual([])
    },
    async close() {
      await context.close()
      expect(faults.filter(fault => !expected.some(pattern => pattern.test(fault)))).toEqual([])
    },
  }
}

/** Every rule of axe-core, on the page as it stands. The page's own policy lets no script in but through the debugger. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE)
  const violations = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: typeof import('axe-core') }).axe
    const { violations } = await axe.run(document, { resultTypes: ['violations'] })
    return violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(node => node.html.slice(0, 200)) }))
  })
  expect(violations).toEqual([])
}

/** A phone's page may scroll down, never sideways. */
export async function expectNoOverflow(page: Page): Promise<void> {
  const [content, room] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ])
  expect(content).toBeLessThanOrEqual(room!)
}

/** Kept to be looked at. */
export async function keep(page: Page, name: string, fullPage = true): Promise<void> {
  mkdirSync(ARTEFACTS, { recursive: true })
  await page.screenshot({ path: `${ARTEFACTS}${name}.png`, fullPage })
}
