/** The interactive documentation works under the headers that our own page has. */
import { expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'

const server = await startServer()
const browser = await launchBrowser()

it('shows every operation, and breaks none of its own rules', async () => {
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(String(error)))
  const response = await page.goto(`${server.url}/docs`)
  expect(response?.headers()).toMatchObject({
    'content-security-policy': expect.stringMatching(/default-src 'none'.*frame-ancestors 'none'/),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  })
  await page.waitForSelector('.opblock')
  expect(await page.locator('.opblock').count()).toBeGreaterThan(5)
  await page.click('.opblock-post .opblock-summary')
  await page.click('.execute')
  await page.waitForSelector('.live-responses-table .response-col_status')
  expect(complaints).toEqual([])
  await page.close()
})
