/** The Attention view, clicked through: every number on it comes from the server under test. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, it } from 'vitest'
import { readFile } from '../service/safetensors-file.ts'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { expectAccessible, keep, type Opened, open } from './page.ts'

const server = await startServer()
const browser = await launchBrowser()
const run = promisify(execFile)

let visit: Opened
let page: Page

async function visitAt(state = ''): Promise<void> {
  visit = await open(browser, `${server.url}/#attention${state}`)
  page = visit.page
  await page.waitForSelector('[data-matrix=output] :is(canvas[style], table)')
}

afterEach(() => visit.close())

/** The numbers of a matrix, read from its table. */
async function table(name: string): Promise<string[][]> {
  return page.$$eval(`[data-table=${name}] tbody tr`, rows =>
    rows.map(row => [...row.querySelectorAll('td')].map(({ textContent }) => textContent ?? '')),
  )
}

async function eventually(name: string, expected: string[][]): Promise<void> {
  await expect.poll(() => table(name)).toEqual(expected)
}

const explained = () => page.textContent('.explanation-body')

/** Points at the middle of a cell of a picture of small matrices with labels. */
async function hover(name: string, row: number, col: number): Promise<void> {
  const stage = page.locator(`[data-matrix=${name}] .stage`)
  await stage.scrollIntoViewIfNeeded()
  const frames = page.locator(`[data-matrix=${name}] svg rect`)
  await stage.focus()
  await page.keyboard.press('Home')
  await page.keyboard.press('PageUp')
  const first = (await frames.last().boundingBox())!
  await page.mouse.move(first.x + first.width * (col + 0.5), first.y + first.height * (row + 0.5))
}

const diagonal = (on: string, off: string, cols = 3) =>
  [0, 1, 2].map(i => Array.from({ length: cols }, (_, j) => (j === 3 ? '0' : i === j ? on : off)))

describe('the worked example', () => {
  it('opens with its right numbers', async () => {
    await visitAt('?tables=1')
    await eventually('products', diagonal('1', '0'))
    await eventually('scores', diagonal('0.5', '0'))
    await eventually('weights', diagonal('0.4519', '0.2741'))
    await eventually('output', diagonal('0.4519', '0.2741', 4))
    await eventually('entropy', [['1.0684'], ['1.0684'], ['1.0684']])
    await page.check('#gradients')
    await eventually('grad_v', diagonal('−0.1949', '0.0975', 4))
    await eventually('grad_q', diagonal('−0.2036', '0.1018', 4))
    await eventually('grad_k', diagonal('−0.2036', '0.1018', 4))
    await expect.poll(() => page.textContent('.loss')).toBe('Loss Σ(O − T)² = 1.352045')
    await expectAccessible(page)
  })

  it.each([
    [1, 'P[e₁, e₁] = 0.622459'],
    [2, 'P[cat, cat] = 0.451863'],
    [3, 'This query has no key to attend to'],
    [4, 'P[cat, cat] = 0.50349'],
    [5, '∂S[cat, cat] = −0.407293'],
  ])('error %i of the article is explained and shown', async (number, text) => {
    await visitAt()
    expect(await page.locator('.error-card').count()).toBe(5)
    await page.click(`[data-error="${number}"]`)
    await expect.poll(explained).toContain(text)
  })

  it.each([
    [
      'first_head',
      [
        ['0.5035', '0.2483', '0.2483'],
        ['0.2483', '0.5035', '0.2483'],
        ['0.3333', '0.3333', '0.3333'],
      ],
    ],
    [
      'second_head',
      [
        ['0.3333', '0.3333', '0.3333'],
        ['0.3333', '0.3333', '0.3333'],
        ['0.2483', '0.2483', '0.5035'],
      ],
    ],
    [
      'empty_row',
      [
        ['0', '0'],
        ['1', '0'],
        ['0.5', '0.5'],
      ],
    ],
  ])('%s', async (id, weights) => {
    await visitAt('?tables=1')
    await page.selectOption('#example', id)
    await eventually('weights', weights)
  })
})

describe('pointing at a cell', () => {
  it('writes out its sum and frames what it is made of', async () => {
    await visitAt()
    await hover('weights', 0, 1)
    await expect.poll(explained).toContain('P[cat, sat] = 0.274069')
    expect(await explained()).toContain('= e0 / (e0.5 + e0 + e0)')
    expect(await explained()).toContain('entropy 1.0684 nats · logsumexp 1.2944')
    expect(await page.locator('[data-matrix=weights] .frame-main').count()).toBe(1)
    for (const part of ['masked_scores', 'scores', 'products']) {
      expect(await page.locator(`[data-matrix=${part}] .frame-part`).count()).toBe(1)
    }
    await hover('output', 1, 2)
    await expect.poll(explained).toContain('= 0.2741·0 + 0.4519·0 + 0.2741·1')
    expect(await page.locator('[data-matrix=v] input.framed').count()).toBe(3)
  })

  it('works from the keyboard, and is told to screen readers', async () => {
    await visitAt()
    await page.focus('[data-matrix=masked_scores] .stage')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('End')
    await expect.poll(explained).toContain('S′[sat, mat] = 0')
    await expect.poll(() => page.textContent('[role=status]')).toContain('S′[sat, mat] = 0')
    await page.keyboard.press('Escape')
    await expect.poll(explained).toContain('Point at a cell')
  })
})

describe('masks', () => {
  it('causal, padding and window combine', async () => {
    await visitAt('?tables=1')
    await page.selectOption('#causal', 'top_left')
    await eventually('masked_scores', [
      ['0.5', '−∞', '−∞'],
      ['0', '0.5', '−∞'],
      ['0', '0', '0.5'],
    ])
    await page.fill('#padding', '1')
    await eventually('masked_scores', [
      ['0.5', '−∞', '−∞'],
      ['0', '0.5', '−∞'],
      ['0', '0', '−∞'],
    ])
    await page.check('#window')
    await page.fill('#window-left', '1')
    await eventually('masked_scores', [
      ['0.5', '−∞', '−∞'],
      ['0', '0.5', '−∞'],
      ['−∞', '0', '−∞'],
    ])
    await eventually('weights', [
      ['1', '0', '0'],
      ['0.3775', '0.6225', '0'],
      ['0', '1', '0'],
    ])
  })

  it('explain themselves', async () => {
    await visitAt('?causal=top_left&cell=weights,0,2')
    await expect.poll(explained).toContain('this query may not attend to this key')
  })
})

describe('numbers', () => {
  it('are typed', async () => {
    await visitAt('?tables=1')
    await page.fill('[aria-label="Q, row cat, column 2"]', '-2.5')
    await expect.poll(async () => (await table('products'))[0]).toEqual(['1', '−2.5', '0'])
    expect(await page.inputValue('#example')).toBe('own')
  })

  it('are dragged, and everything follows, with no more requests than the server can answer', async () => {
    await visitAt('?tables=1')
    const box = (await page.locator('[aria-label="Q, row cat, column 1"]').boundingBox())!
    const before = visit.requests.length
    await page.mouse.move(box.x + 20, box.y + 15)
    await page.mouse.down()
    await page.mouse.move(box.x + 20 + 160, box.y + 15, { steps: 80 })
    await page.mouse.up()
    await expect.poll(async () => (await table('products'))[0]).toEqual(['3', '0', '0'])
    await expect.poll(async () => (await table('weights'))[0]).toEqual(['0.6914', '0.1543', '0.1543'])
    const asked = visit.requests.slice(before).filter(url => url.endsWith('/v1/attention')).length
    expect(asked).toBeGreaterThan(0)
    expect(asked).toBeLessThanOrEqual(42)
  })

  it('never wait in a line: of a burst of changes the first and the last are asked for', async () => {
    await visitAt('?tables=1')
    const before = visit.requests.length
    await page.evaluate(() => {
      const field = document.querySelector<HTMLInputElement>('[aria-label="Q, row cat, column 1"]')!
      for (let step = 1; step <= 100; step++) {
        field.value = String(step / 10)
        field.dispatchEvent(new Event('input'))
      }
    })
    await expect.poll(async () => (await table('products'))[0]).toEqual(['10', '0', '0'])
    expect(visit.requests.length - before).toBe(2)
  })

  it('are pasted, and the other matrices take the new sizes', async () => {
    await visitAt('?tables=1')
    await page.evaluate(() => {
      const data = new DataTransfer()
      data.setData('text', '1\t2\n3\t4')
      const field = document.querySelector('[aria-label="K, row cat, column 1"]')!
      field.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, cancelable: true }))
    })
    await eventually('products', [
      ['1', '3'],
      ['2', '4'],
      ['0', '0'],
    ])
    expect(await page.inputValue('#keys')).toBe('2')
  })

  it('come in other sizes', async () => {
    await visitAt('?tables=1')
    await page.fill('#queries', '2')
    await page.fill('#sizeValue', '1')
    await eventually('output', [['0.4519'], ['0.2741']])
  })

  it('that the server refuses are told about', async () => {
    await visitAt()
    await page.route('**/v1/attention', route =>
      route.fulfill({ status: 200, contentType: 'application/json', body: 'no JSON' }),
    )
    await page.fill('[aria-label="Q, row cat, column 1"]', '7')
    await page.waitForSelector('.attention-view .problem:not([hidden])')
    await page.unroute('**/v1/attention')
    await page.fill('[aria-label="Q, row cat, column 1"]', '8')
    await page.waitForSelector('.attention-view .problem', { state: 'hidden' })
  })
})

describe('a sentence', () => {
  it('gives its words seeded embeddings: the same words the same numbers', async () => {
    await visitAt('?tables=1')
    await page.selectOption('#source', 'sentence')
    await page.selectOption('#sentence-model', '')
    await page.fill('#sentence', '너 나 너')
    // the matrix before has three rows too, which differ
    const kinds = async () => new Set((await table('q')).map(row => row.join())).size
    await expect.poll(kinds).toBe(2)
    const q = await table('q')
    expect(q[0]).toEqual(q[2])
    await page.fill('#seed', '2')
    await expect.poll(async () => (await table('q'))[0]).not.toEqual(q[0])
    await page.fill('#seed', '1')
    await expect.poll(() => table('q')).toEqual(q)
    await page.click('text=Edit as numbers')
    await expect
      .poll(() => page.inputValue('[aria-label="Q, row 나, column 1"]'))
      .toBe(q[1]![0]!.replace('−', '-'))
  })

  it('of many words is drawn as a map; of none it asks for one', async () => {
    await visitAt(
      `?sentence=${Array.from({ length: 40 }, (_, index) => `w${index}`).join('+')}&causal=top_left&cell=weights,39,7`,
    )
    await expect.poll(explained).toContain('P[w39, w7]')
    await keep(page, 'attention-sentence')
    await page.fill('#sentence', '  ')
    await expect.poll(() => page.textContent('.attention-view .problem')).toBe('Type a word to begin.')
  })
})

describe('the address', () => {
  it('shows the same thing to everybody who gets it', async () => {
    await visitAt('?tables=1')
    await page.selectOption('#causal', 'bottom_right')
    await page.check('#gradients')
    await page.fill('[aria-label="K, row mat, column 4"]', '0.75')
    await page.fill('[aria-label="Q, row mat, column 4"]', '-1')
    await page.fill('[aria-label="T, row cat, column 1"]', '0.5')
    await expect.poll(() => page.url()).toContain('target=0.5')
    await expect.poll(async () => (await table('products'))[2]).toEqual(['0', '0', '0.25'])
    const seen = [await table('weights'), await table('grad_k'), await page.textContent('.loss')]
    const url = page.url()
    await visit.close()
    visit = await open(browser, url)
    page = visit.page
    await expect.poll(async () => (await table('grad_k')).length).toBe(3)
    expect([await table('weights'), await table('grad_k'), await page.textContent('.loss')]).toEqual(seen)
  })

  it('that makes no sense shows the worked example', async () => {
    await visitAt('?q=1,2;3&k=NaN&v=&causal=sideways&padding=-4&window=x,2&cell=__proto__,1,1&tokens=%00')
    expect(await page.inputValue('#queries')).toBe('3')
  })
})

describe('carried away', () => {
  const file = async (kind: string) => {
    const waiting = page.waitForEvent('download')
    await page.click(`[data-export=${kind}]`)
    const download = await waiting
    return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) }
  }

  it('as PNG, CSV and safetensors', async () => {
    await visitAt('?gradients=1')
    await page.waitForSelector('[data-matrix=grad_v] canvas[style]')
    const png = await file('png')
    expect(png.name).toBe('attention.png')
    expect(png.bytes.subarray(1, 4).toString()).toBe('PNG')
    const svg = (await file('svg')).bytes.toString('utf8')
    expect(svg).toMatch(/<text [^>]+>0\.4519<\/text>/)
    expect(
      await page.evaluate(
        drawn => new DOMParser().parseFromString(drawn, 'image/svg+xml').querySelector('parsererror'),
        svg,
      ),
    ).toBeNull()
    const csv = (await file('csv')).bytes.toString('utf8')
    expect(csv).toMatch(/^\ufeffmatrix,row,column,row_label,column_label,value\r\n/)
    expect(csv).toMatch(/\r\nweights,0,1,cat,sat,0\.2740686\d+\r\n/)
    const { tensors, response } = readFile((await file('safetensors')).bytes)
    expect(response.loss).toBeCloseTo(1.352045, 6)
    expect(tensors['grads.v']!.shape).toEqual([3, 4])
    const weights = new Float64Array(new Uint8Array(tensors.weights!.data).buffer)
    expect(weights[1]).toBeCloseTo(0.274069, 6)
  })

  it('as curl and Python that give the same numbers', async () => {
    await visitAt('?gradients=1&causal=top_left')
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    const copied = async (kind: string) => {
      await page.click(`[data-export=${kind}]`)
      await expect.poll(() => page.textContent('.export .quiet')).toBe('Copied.')
      return page.evaluate(() => navigator.clipboard.readText())
    }
    const curl = await run('bash', ['-c', await copied('curl')])
    const answer = JSON.parse(curl.stdout)
    expect(answer.weights[1][0]).toBeCloseTo(0.3775, 4)
    const python = await run('python3', ['-c', await copied('python')])
    expect(python.stdout).toContain(`loss ${answer.loss}`)
    expect(await copied('link')).toBe(page.url())
  })

  it('by hand where the browser forbids it', async () => {
    await visitAt()
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error('forbidden'))
    })
    await page.click('[data-export=curl]')
    expect(await page.inputValue('dialog textarea')).toContain('/v1/attention')
    await expectAccessible(page)
    await page.keyboard.press('Escape')
    await page.locator('dialog').waitFor({ state: 'detached' })
  })
})
