/** Everything written on the page can be read in every state of its controls, in both themes. */
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { startServer } from '../service/server.ts'
import { launchBrowser } from './chromium.ts'
import { faintTexts, STATES, type State } from './contrast.ts'
import { finished, startPaused } from './layers-page.ts'
import { open } from './page.ts'

const server = await startServer()
const browser = await launchBrowser()

/** What is to be seen: pressed buttons and pressed toggles, buttons that cannot be pressed, fields and links. */
const SCENES: Record<string, { address: string; prepare(page: Page): Promise<unknown> }> = {
  'numbers, as tables, with gradients': {
    address: '#attention?gradients=1&tables=1&causal=top_left&cell=weights,0,2',
    prepare: page => page.waitForSelector('[data-table=grad_v]'),
  },
  'a sentence that is too long to be edited': {
    address: `#attention?sentence=${Array.from({ length: 14 }, (_, index) => `w${index}`).join('+')}&cell=weights,3,1`,
    prepare: page => page.waitForSelector('[data-matrix=output] canvas[style]'),
  },
  'a finished run, with a map': {
    address: '#layers?layers=2&heads=2&run=1&map=1,0',
    prepare: async page => {
      await finished(page)
      await page.waitForSelector('[data-map=backward]:not(.waiting)')
    },
  },
  'a paused run': {
    address: '#layers?layers=24&heads=1',
    prepare: startPaused,
  },
}

describe.each(['light', 'dark'] as const)('in %s', colorScheme => {
  it.each(Object.keys(SCENES))('%s', async name => {
    const { address, prepare } = SCENES[name]!
    const visit = await open(browser, `${server.url}/${address}`, { colorScheme })
    await prepare(visit.page)
    const faint: Record<string, string[]> = {}
    for (const state of Object.keys(STATES) as State[]) faint[state] = await faintTexts(visit.page, state)
    expect(faint).toEqual({ rest: [], hover: [], focus: [], pressed: [] })
    await visit.close()
  })

  it('under a real pointer', async () => {
    const visit = await open(browser, `${server.url}/#layers?tables=1`, { colorScheme })
    for (const id of ['run', 'tables', 'theme', 'language']) {
      await visit.page.hover(`#${id}`)
      expect(await faintTexts(visit.page, 'rest'), id).toEqual([])
    }
    await visit.close()
  })
})
