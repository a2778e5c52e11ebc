/** The Layers view, clicked through, over the server's own stream; what it shows is what `POST /v1/transformer` answers. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { SENTENCE } from '../../web/src/attention/state.ts'
import { transformerBody } from '../../web/src/layers/request.ts'
import { INITIAL, type LayersState } from '../../web/src/layers/state.ts'
import { readFile } from '../service/safetensors-file.ts'
import { post, startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { factOf, filled, finished } from './layers-page.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open, type VisitOptions } from './page.ts'

const server = await startServer()
const browser = await launchBrowser()
const run = promisify(execFile)

let visit: Opened
let page: Page

async function visitAt(state: string, options: VisitOptions = {}): Promise<void> {
  visit = await open(browser, `${server.url}/#layers?${state}`, options)
  page = visit.page
}

afterEach(() => visit.close())

const fact = () => factOf(page)

/** What the server answers to the same stack over HTTP. */
async function answerOf(state: Partial<LayersState>) {
  const body = { ...transformerBody({ ...INITIAL, ...state }), encoding: 'nested' }
  const answer = await post(server, '/v1/transformer', body)
  expect(answer.status).toBe(200)
  return answer.body
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

describe('a run', () => {
  it('fills the grid, both passes, and says what it found', async () => {
    await visitAt('layers=3&heads=4')
    await page.click('#run')
    await finished(page)
    expect(await fact()).toContain('6 of 6 layers')
    await filled(page, 24)
    const { loss, layers } = await answerOf({ layers: 3, heads: 4 })
    expect(await fact()).toContain(`loss ${Number(loss.toFixed(6))}`)
    const label = await page.getAttribute('[data-cell=forward-1-2]', 'aria-label')
    expect(label).toContain(`mean entropy ${Number(mean(layers[1].entropy[2]).toFixed(2))}`)
    await expect.poll(() => page.textContent('[role=status]')).toContain('6 of 6 layers')
  })

  it('paints thumbnails of the weights: the brightest pixel is the largest weight', async () => {
    await visitAt('layers=2&heads=2&run=1', { colorScheme: 'dark' })
    await finished(page)
    await filled(page, 8)
    const { layers } = await answerOf({ layers: 2, heads: 2 })
    const drawn = await page.$eval('[data-cell=forward-1-1] canvas', node => {
      const canvas = node as HTMLCanvasElement
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
      const green = Array.from({ length: data.length / 4 }, (_, index) => data[4 * index + 1]!)
      return { cols: canvas.width, brightest: green.indexOf(Math.max(...green)) }
    })
    const weights: number[] = layers[1].weights[1].flat()
    expect(drawn).toEqual({ cols: 12, brightest: weights.indexOf(Math.max(...weights)) })
  })

  it('opens a map in full, with its tokens, lines and entropy', async () => {
    await visitAt('layers=2&heads=2&causal=1')
    await page.click('#run')
    await finished(page)
    await page.click('[data-cell=forward-1-0]')
    await expect.poll(() => page.textContent('#detail-title')).toBe('Layer 2, head 1')
    await page.fill('#row', '9')
    await page.focus('[data-map=forward] .map-stage')
    await page.keyboard.press('ArrowRight')
    const { layers } = await answerOf({ layers: 2, heads: 2, causal: true })
    const row: number[] = layers[1].weights[0][8]
    await expect
      .poll(() => page.textContent('[data-map=forward] .map-value'))
      .toBe(`it (9) → animal (2): ${Number(row[1]!.toFixed(5))}`)
    const best = row.indexOf(Math.max(...row))
    const tokens = SENTENCE.split(' ')
    expect(await page.getAttribute('.head-lines canvas', 'aria-label')).toContain(
      `“it” attends most to ${tokens[best]} ${row[best]!.toFixed(3)}`,
    )
    const entropy: number[] = layers[1].entropy[0]
    expect(await page.textContent('.entropy-chart')).toContain(
      `mean ${Number(mean(entropy).toFixed(3))}, here ${Number(entropy[8]!.toFixed(3))} nats`,
    )
    expect(await page.locator('[data-map=backward].waiting').count()).toBe(0)
    const box = (await page.locator('[data-map=forward] .map-pixels').boundingBox())!
    await page.mouse.move(box.x + (3.5 * box.width) / 12, box.y + (5.5 * box.height) / 12)
    await expect.poll(() => page.textContent('[data-map=backward] .map-value')).toContain('the (6) → ')
    expect(await page.textContent('[data-map=forward] .map-value')).toContain('the (6) → not (4): ')
    await expectAccessible(page)
  })

  it('of the forward pass alone has no gradients', async () => {
    await visitAt('layers=2&heads=2')
    await page.uncheck('#stack-backward')
    await page.click('#run')
    await finished(page)
    expect(await fact()).toContain('2 of 2 layers')
    expect(await page.locator('[data-pass=backward]').count()).toBe(0)
  })

  it('looks different on a logarithmic scale', async () => {
    await visitAt('layers=1&heads=1&run=1&map=0,0')
    await finished(page)
    const pixels = (selector: string) => page.$eval(selector, node => (node as HTMLCanvasElement).toDataURL())
    await page.waitForSelector('[data-map=forward]:not(.waiting)')
    const before = [
      await pixels('[data-cell=forward-0-0] canvas'),
      await pixels('[data-map=forward] .map-pixels'),
    ]
    await page.check('#log')
    await expect.poll(() => pixels('[data-cell=forward-0-0] canvas')).not.toBe(before[0])
    await expect.poll(() => pixels('[data-map=forward] .map-pixels')).not.toBe(before[1])
  })

  it('can be read as tables', async () => {
    await visitAt('layers=2&heads=3&run=1&map=1,2&row=4&tables=1')
    await finished(page)
    const { layers } = await answerOf({ layers: 2, heads: 3 })
    const text = await page.$$eval('[data-table=layers] tbody td', cells =>
      cells.map(cell => cell.textContent),
    )
    expect(text.map(Number)).toEqual(
      layers.flatMap(({ entropy }: { entropy: number[][] }) =>
        entropy.map(rows => Number(mean(rows).toFixed(3))),
      ),
    )
    const row: number[] = layers[1].weights[2][4]
    const first = page.locator('[data-table=row] tbody tr').first()
    await expect
      .poll(() => first.locator('td').first().textContent())
      .toBe(String(Number(Math.max(...row).toFixed(6))))
    await expectAccessible(page)
  })
})

describe('by keyboard', () => {
  it('the grid is one stop; arrows walk through it and across to the gradients', async () => {
    await visitAt('layers=2&heads=2&run=1')
    await finished(page)
    expect(await page.locator('.cell[tabindex="0"]').count()).toBe(1)
    await page.focus('.cell[tabindex="0"]')
    const at = () => page.evaluate(() => (document.activeElement as HTMLElement).dataset.cell)
    for (const [key, cell] of [
      ['ArrowDown', 'forward-1-0'],
      ['End', 'forward-1-1'],
      ['ArrowRight', 'backward-1-0'],
      ['ArrowUp', 'backward-0-0'],
      ['ArrowLeft', 'forward-0-1'],
    ]) {
      await page.keyboard.press(key!)
      expect(await at()).toBe(cell)
    }
    await page.keyboard.press('Enter')
    await expect.poll(() => page.textContent('#detail-title')).toBe('Layer 1, head 2')
  })
})

describe('the address', () => {
  it('runs the same stack and opens the same map for everybody who gets it', async () => {
    await visitAt('layers=2&heads=2&seed=7&position=rope&norm=post')
    await page.fill('#stack-sentence', '나는 너를 보고 너는 나를 본다')
    await page.click('#run')
    await finished(page)
    await page.click('[data-cell=backward-0-1]')
    await page.fill('#row', '3')
    const value = () => page.textContent('[data-map=forward] .map-value')
    await expect.poll(value).toMatch(/^보고 \(3\) → 나는 \(1\): \d/)
    await expect.poll(() => page.url()).toContain('row=2')
    const seen = [await value(), (await fact())!.split(' · ').at(-1)]
    const url = page.url()
    await visit.close()
    visit = await open(browser, url)
    page = visit.page
    await finished(page)
    await expect.poll(value).toBe(seen[0])
    expect(await fact()).toContain(seen[1])
    // another link, followed on the same page, runs another stack
    await page.evaluate(() => {
      location.hash = '#layers?layers=1&heads=1&run=1'
    })
    await filled(page, 2)
    // a control that was moved since the run is not part of what is on screen
    await page.fill('#stack-layers', '5')
    await page.check('#log')
    await expect.poll(() => page.url()).toContain('log=1')
    expect(page.url()).toContain('layers=1&')
  })
})

describe('carried away', () => {
  const file = async (kind: string) => {
    const waiting = page.waitForEvent('download')
    await page.click(`[data-export=${kind}]`)
    return readFileSync(await (await waiting).path())
  }

  it('as PNG, CSV, safetensors, curl and Python', async () => {
    await visitAt('layers=2&heads=2&run=1&map=1,1')
    await finished(page)
    for (const pass of ['forward', 'backward']) await page.waitForSelector(`[data-map=${pass}]:not(.waiting)`)
    const { layers, loss } = await answerOf({ layers: 2, heads: 2 })
    expect((await file('png')).subarray(1, 4).toString()).toBe('PNG')
    expect((await file('svg')).toString()).toMatch(/^<svg .+<\/svg>\n$/s)
    const lines = (await file('csv')).toString().trim().split('\r\n')
    expect(lines.length).toBe(1 + 2 * 144 + 12)
    const first = lines.find(line => line.startsWith('weights,0,1,The,animal,'))!
    expect(Number(first.split(',').at(-1))).toBeCloseTo(layers[1].weights[1][0][1], 6)
    const { tensors, response } = readFile(await file('safetensors'))
    expect(tensors.x!.shape).toEqual([12, 32])
    expect(tensors.weights!.shape).toEqual([12, 12])
    expect(tensors.grad_weights!.shape).toEqual([12, 12])
    expect(response).toMatchObject({ layer: 1, head: 1 })
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    const copied = async (kind: string) => {
      await page.click(`[data-export=${kind}]`)
      await expect.poll(() => page.textContent('.export .quiet')).toBe('Copied.')
      return page.evaluate(() => navigator.clipboard.readText())
    }
    const curl = await run('bash', ['-c', await copied('curl')])
    expect(JSON.parse(curl.stdout).loss).toBe(loss)
    const python = await run('python3', ['-c', await copied('python')])
    expect(python.stdout).toContain(`loss ${loss}`)
  })
})

describe('how it looks', () => {
  it.each([
    ['desktop', 1440, 'light', 'en'],
    ['desktop', 1440, 'dark', 'ko'],
    ['phone', 360, 'light', 'ko'],
    ['phone', 360, 'dark', 'en'],
  ] as const)(
    '%s %i %s %s',
    async (device, width, colorScheme, locale) => {
      await visitAt('tokens=96&run=1&map=2,3&row=40&causal=1', {
        colorScheme,
        locale,
        viewport: { width, height: 900 },
      })
      await filled(page, 96)
      for (const pass of ['forward', 'backward'])
        await page.waitForSelector(`[data-map=${pass}]:not(.waiting)`)
      await expectAccessible(page)
      await expectNoOverflow(page)
      await keep(page, `layers-${device}-${colorScheme}-${locale}`)
    },
    180_000,
  )
})
