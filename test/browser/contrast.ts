/** The contrast of everything written on a page, in a state that is forced upon its controls. */
import type { CDPSession, Page } from 'playwright-core'

export const STATES = {
  rest: [],
  hover: ['hover'],
  focus: ['focus', 'focus-visible'],
  pressed: ['hover', 'active'],
}
export type State = keyof typeof STATES

const CONTROLS = 'a, button, select, input, textarea, [tabindex]'

/** WCAG 2.2: 1.4.3 for text, 1.4.11 for what shows where the focus is. */
const TEXT = 4.5
const OUTLINE = 3

/** What is written with too little contrast, or has the focus without showing it; hidden texts are left out. */
export async function faintTexts(page: Page, state: State): Promise<string[]> {
  const debug = await page.context().newCDPSession(page)
  await debug.send('DOM.enable')
  await debug.send('CSS.enable')
  const forcedPseudoClasses = STATES[state]
  // at rest nothing is forced: the page may draw its controls anew, and their ids would be gone
  const controls = forcedPseudoClasses.length > 0 ? await nodesOf(debug, CONTROLS) : []
  for (const nodeId of controls) await debug.send('CSS.forcePseudoState', { nodeId, forcedPseudoClasses })
  const outlined = state === 'focus' ? `:is(${CONTROLS}):not([tabindex="-1"])` : ''
  const found = await page.evaluate(measure, { text: TEXT, outline: OUTLINE, outlined })
  await debug.detach()
  return found
}

async function nodesOf(debug: CDPSession, selector: string): Promise<number[]> {
  const { root } = await debug.send('DOM.getDocument')
  const { nodeIds } = await debug.send('DOM.querySelectorAll', { nodeId: root.nodeId, selector })
  return nodeIds
}

/** Runs in the page, so it holds everything it needs. */
function measure(least: { text: number; outline: number; outlined: string }): string[] {
  type Color = [red: number, green: number, blue: number, alpha: number]
  const pixel = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!

  /** Any CSS colour, as the browser paints it. */
  function painted(css: string): Color {
    pixel.clearRect(0, 0, 1, 1)
    pixel.fillStyle = css
    pixel.fillRect(0, 0, 1, 1)
    const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data
    return [red!, green!, blue!, alpha! / 255]
  }

  function over(above: Color, below: Color, opacity: number): Color {
    const alpha = above[3] * opacity
    const [red, green, blue] = [0, 1, 2].map(at => above[at]! * alpha + below[at]! * (1 - alpha))
    return [red!, green!, blue!, 1]
  }

  function luminance(color: Color): number {
    const [red, green, blue] = color.slice(0, 3).map(byte => {
      const x = byte / 255
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!
  }

  function contrast(one: Color, other: Color): number {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b)
    return (light! + 0.05) / (dark! + 0.05)
  }

  /** What is seen of an element's background and of a colour upon it, through the opacities of all it stands in. */
  function seen(element: Element, ink: Color): { ground: Color; ink: Color } {
    const chain: Element[] = []
    for (let at: Element | null = element; at !== null; at = at.parentElement) chain.unshift(at)
    const paint = (index: number, below: Color): { ground: Color; ink: Color } => {
      const style = getComputedStyle(chain[index]!)
      const ground = over(painted(style.backgroundColor), below, 1)
      const inner =
        index + 1 < chain.length ? paint(index + 1, ground) : { ground, ink: over(ink, ground, 1) }
      const opacity = Number(style.opacity)
      return { ground: over(inner.ground, below, opacity), ink: over(inner.ink, below, opacity) }
    }
    return paint(0, [255, 255, 255, 1])
  }

  const faults: string[] = []
  const report = (element: Element, what: string, ratio: number, wanted: number) => {
    if (ratio >= wanted) return
    const name = element.id || element.getAttribute('class') || element.tagName
    faults.push(`${name}: ${what} ${ratio.toFixed(2)}, wanted ${wanted}`)
  }

  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('.visually-hidden') !== null) continue
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const style = getComputedStyle(element)
    const words = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
    const own = words
      .map(node => node.textContent)
      .join('')
      .trim()
    const field = element.matches('select, textarea, input:not([type=checkbox], [type=range])')
    if (own !== '' || field) {
      const { ground, ink } = seen(element, painted(element instanceof SVGElement ? style.fill : style.color))
      report(element, `“${own.slice(0, 20)}”`, contrast(ink, ground), least.text)
    }
    if (least.outlined !== '' && element.matches(least.outlined)) {
      const drawn = style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 1
      const { ground, ink } = seen(element.parentElement!, painted(style.outlineColor))
      report(element, 'outline', drawn ? contrast(ink, ground) : 1, least.outline)
    }
  }
  return faults
}
