/** The Layers view, clicked through, over the server's own stream; what it shows is what `POST /v1/transformer` answers. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { CREDIT, transformerBody } from '../../web/src/layers/request.ts'
import { INITIAL, type LayersState } from '../../web/src/layers/state.ts'
import { readFile } from '../service/safetensors-file.ts'
import { post, startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { expectAccessible, expectNoOverflow, keep, type Opened, open, type VisitOptions } from './page.ts'
import { watched, watchPainting } from './paint-watch.ts'
import { StreamTap } from './stream-tap.ts'

const server = await startServer()
const browser = await launchBrowser()
const run = promisify(execFile)

let visit: Opened
let page: Page
let tap: StreamTap

async function visitAt(state: string, options: VisitOptions = {}): Promise<void> {
  const prepare = async (opened: Page) => {
    tap = await StreamTap.on(opened)
    await options.prepare?.(opened)
  }
  visit = await open(browser, `${server.url}/#layers?${state}`, { ...options, prepare })
  page = visit.page
}

afterEach(() => visit.close())

const fact = () => page.textContent('.run-fact')
const finished = () => expect.poll(fact, { timeout: 60_000 }).toContain('all after')

/** The last layers are drawn a moment after the run is done. */
const filled = (cells: number) =>
  expect.poll(() => page.locator('.cell.filled').count(), { timeout: 60_000 }).toBe(cells)

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
    await finished()
    expect(await fact()).toContain('6 of 6 layers')
    await filled(24)
    const { loss, layers } = await answerOf({ layers: 3, heads: 4 })
    expect(await fact()).toContain(`loss ${Number(loss.toFixed(6))}`)
    const label = await page.getAttribute('[data-cell=forward-1-2]', 'aria-label')
    expect(label).toContain(`mean entropy ${Number(mean(layers[1].entropy[2]).toFixed(2))}`)
    await expect.poll(() => page.textContent('[role=status]')).toContain('6 of 6 layers')
  })

  it('paints thumbnails of the weights: the brightest pixel is the largest weight', async () => {
    await visitAt('layers=2&heads=2&run=1', { colorScheme: 'dark' })
    await finished()
    await filled(8)
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
    await finished()
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
    const tokens = INITIAL.sentence.split(' ')
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
    await finished()
    expect(await fact()).toContain('2 of 2 layers')
    expect(await page.locator('[data-pass=backward]').count()).toBe(0)
  })

  it('looks different on a logarithmic scale', async () => {
    await visitAt('layers=1&heads=1&run=1&map=0,0')
    await finished()
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
    await finished()
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
    await page.evaluate(() => {
      for (const id of ['run', 'pause']) document.getElementById(id)!.click()
    })
    // what the server had credit for is drawn, and not acknowledged
    await filled(2 * CREDIT)
    await page.evaluate(() => new Promise(requestAnimationFrame))
    expect(tap.credit).toBe(0)
    expect(tap.count('layer')).toBe(CREDIT)
    expect(await fact()).toMatch(/^2 of 48 layers · paused/)
    await page.click('#pause')
    await finished()
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
    await finished()
    await filled(96)
  })

  it('another run takes its place', async () => {
    await visitAt('layers=24&heads=2')
    await pressAt(2, '#run')
    await finished()
    await filled(96)
  })

  it('the reader may look at another view, and come back to a finished run', async () => {
    await visitAt('layers=6&heads=2')
    await pressAt(1, '[data-view=attention]')
    await page.waitForSelector('[data-matrix=weights]')
    await expect.poll(() => tap.count('done')).toBe(1)
    await page.click('[data-view=layers]')
    await finished()
    await filled(24)
  })

  it('the slider goes back and forth', async () => {
    await visitAt('layers=4&heads=2&run=1')
    await finished()
    await page.focus('#scrub')
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    expect(await page.locator('.cell:not(.later)').count()).toBe(4)
    expect(await page.getAttribute('#scrub', 'aria-valuetext')).toBe('2 of 8 layers shown')
    await page.keyboard.press('End')
    expect(await page.locator('.cell.later').count()).toBe(0)
  })
})

describe('by keyboard', () => {
  it('the grid is one stop; arrows walk through it and across to the gradients', async () => {
    await visitAt('layers=2&heads=2&run=1')
    await finished()
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
    await finished()
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
    await finished()
    await expect.poll(value).toBe(seen[0])
    expect(await fact()).toContain(seen[1])
    // another link, followed on the same page, runs another stack
    await page.evaluate(() => {
      location.hash = '#layers?layers=1&heads=1&run=1'
    })
    await filled(2)
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
    await finished()
    for (const pass of ['forward', 'backward']) await page.waitForSelector(`[data-map=${pass}]:not(.waiting)`)
    const { layers, loss } = await answerOf({ layers: 2, heads: 2 })
    expect((await file('png')).subarray(1, 4).toString()).toBe('PNG')
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

describe('when things go wrong', () => {
  it('the server’s refusal is told', async () => {
    await visitAt('layers=1')
    await page.routeWebSocket(/stream/, socket =>
      socket.onMessage(text => {
        const { id } = JSON.parse(String(text))
        const errors = [{ path: '/stack/heads', message: 'expected fewer, got 8' }]
        socket.send(JSON.stringify({ type: 'error', id, problem: { detail: 'no', errors } }))
      }),
    )
    await page.click('#run')
    await expect.poll(() => page.textContent('.problem')).toBe('/stack/heads: expected fewer, got 8')
  })

  it('a server that is gone is told', async () => {
    await visitAt('layers=1&heads=1')
    await page.routeWebSocket(/stream/, socket => socket.close())
    await page.click('#run')
    await expect.poll(() => page.textContent('.problem')).toBe('The server cannot be reached.')
  })

  it('never more layers are on their way than the page said it can draw', async () => {
    await visitAt('layers=6&heads=2')
    let most = 0
    let open = 0
    await page.routeWebSocket(/stream/, socket => {
      const real = socket.connectToServer()
      socket.onMessage(text => {
        const message = JSON.parse(String(text))
        if (message.type === 'credit') open -= message.add
        real.send(text)
      })
      real.onMessage(data => {
        if (
          typeof data !== 'string' &&
          data.includes('"frame"') &&
          String(data).includes('\\"type\\":\\"layer\\"')
        ) {
          open++
          most = Math.max(most, open)
        }
        socket.send(data)
      })
    })
    await page.click('#run')
    await finished()
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(2)
  })
})

describe('1024 tokens, 8 heads, 6 layers, both passes', () => {
  const HEADS = 8
  const SIDE = 128
  const BAND = 1 << 16

  it('come as small pictures, each painted in a frame of the screen before its layer is acknowledged', async () => {
    await visitAt('tokens=1024', { prepare: opened => opened.addInitScript(watchPainting) })
    await page.click('#run')
    await finished()
    await filled(96)
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
    await finished()
    await filled(16)
    const before = (await watched(page)).painted.length
    await page.click('[data-cell=forward-0-7]')
    const bands = async () => (await watched(page)).painted.slice(before)
    await expect.poll(async () => (await bands()).length).toBe((2 * 1024 ** 2) / BAND)
    expect((await bands()).filter(({ pixels, frame }) => pixels !== BAND || frame === 0)).toEqual([])
  }, 180_000)
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
      await filled(96)
      for (const pass of ['forward', 'backward'])
        await page.waitForSelector(`[data-map=${pass}]:not(.waiting)`)
      await expectAccessible(page)
      await expectNoOverflow(page)
      await keep(page, `layers-${device}-${colorScheme}-${locale}`)
    },
    180_000,
  )
})
