/** The interactive documentation works under the headers that our own page has. */
import { createServer, request } from 'node:http'
import { afterAll, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'

const server = await startServer()
const browser = await launchBrowser()

/** A proxy that serves everything below /deep/prefix/, and nothing beside it. */
async function prefixed(): Promise<string> {
  const { hostname, port } = new URL(server.url)
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url = '' } = incoming
    if (!url.startsWith('/deep/prefix/')) return void outgoing.writeHead(404).end('beside the prefix')
    const path = url.slice('/deep/prefix'.length)
    const passed = request({ hostname, port, method, headers, path }, answer => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(passed)
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  afterAll(() => void proxy.close())
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}/deep/prefix`
}

const below = await prefixed()

it.each([
  ['at the root', server.url],
  ['below the prefix of a proxy', below],
])('shows every operation, and breaks none of its own rules: %s', async (_where, url) => {
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(String(error)))
  const response = await page.goto(`${url}/docs`)
  expect(response?.headers()).toMatchObject({
    'content-security-policy': expect.stringMatching(/default-src 'none'.*frame-ancestors 'none'/),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  })
  await page.waitForSelector('.opblock')
  expect(await page.locator('.opblock').count()).toBeGreaterThan(5)
  await page.click('.opblock-post .opblock-summary')
  await page.click('.execute')
  const status = page.locator('.live-responses-table .response .response-col_status').first()
  await status.waitFor()
  expect(await status.textContent()).toMatch(/^200/)
  expect(complaints).toEqual([])
  await page.close()
})
