/** The page of a comparison: under its own policy, in wide and narrow windows, in light and dark. */
import { expect, it } from 'vitest'
import { kernel } from '../service/compare/kernel.ts'
import { draw } from '../service/compare/tensors.ts'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'

const server = await startServer()
const browser = await launchBrowser()

const tensors = {
  q: draw(11, 1, 4, 40, 8),
  k: draw(12, 1, 2, 40, 8),
  v: draw(13, 1, 2, 40, 8),
  gradOutput: draw(14, 1, 4, 40, 8),
}

async function report() {
  const { q, k, v, gradOutput } = tensors
  const { output, grads } = kernel(tensors)
  const body = { q, k, v, causal: true, backward: { grad_output: gradOutput } }
  const response = await fetch(`${server.url}/v1/compare`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/html' },
    body: JSON.stringify({ endpoint: '/v1/attention', body, candidate: { output, grads } }),
  })
  return { headers: Object.fromEntries(response.headers), body: await response.text() }
}

const { headers, body } = await report()

it.each([
  [1280, 'light'],
  [390, 'light'],
  [390, 'dark'],
] as const)('at %i pixels, %s', async (width, colorScheme) => {
  const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
  const complaints: string[] = []
  const asked: string[] = []
  page.on('console', message => complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('request', request => asked.push(new URL(request.url()).pathname))
  await page.route('**/report', route => route.fulfill({ status: 200, headers, body }))
  await page.goto(`${server.url}/report`)
  expect(await page.locator('h1').innerText()).toMatch(/^FAIL.*4 of 4 tensors are wrong/s)
  expect(await page.locator('.why .says').first().innerText()).toBe('The causal mask is not applied.')
  expect(await page.locator('svg').count()).toBe(12)
  const seen = await page.evaluate(() => {
    const { width: drawn, height } = document.querySelector('svg')?.getBoundingClientRect() ?? new DOMRect()
    const colour = (selector: string, property: string) =>
      getComputedStyle(document.querySelector(selector) as Element).getPropertyValue(property)
    return {
      over: document.documentElement.scrollWidth - innerWidth,
      drawn: Math.min(drawn, height),
      paper: colour('body', 'background-color'),
      badge: colour('.badge', 'background-color'),
      fills: new Set([...document.querySelectorAll('path')].map(path => getComputedStyle(path).fill)).size,
    }
  })
  expect(seen.over).toBeLessThanOrEqual(0)
  expect(seen.drawn).toBeGreaterThan(60)
  expect(seen.paper).toBe(colorScheme === 'dark' ? 'rgb(16, 21, 27)' : 'rgb(255, 255, 255)')
  expect(seen.badge).not.toBe('rgba(0, 0, 0, 0)')
  // levels of errors are told apart
  expect(seen.fills).toBeGreaterThan(2)
  expect(complaints).toEqual([])
  expect(asked.filter(path => path !== '/favicon.ico')).toEqual(['/report'])
  await page.close()
})
