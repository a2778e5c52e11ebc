/** The colormaps: even steps of lightness, and numbers that can be read on every colour. */
import { describe, expect, it } from 'vitest'
import { colormap } from '../../web/src/color/colormap.ts'
import { luminance, type Rgb } from '../../web/src/color/oklab.ts'
import { place, scaleOf } from '../../web/src/color/scale.ts'

/** CIE lightness, another measure than the one the maps are made by. */
function lightness(color: Rgb): number {
  const y = luminance(color)
  return y > 216 / 24389 ? 116 * Math.cbrt(y) - 16 : (24389 / 27) * y
}

describe.each(['light', 'dark'] as const)('in %s', theme => {
  it('weights grow steadily away from the page', () => {
    const steps = colormap('sequential', theme).colors.map(lightness)
    const sign = theme === 'light' ? -1 : 1
    const changes = steps.slice(1).map((value, index) => sign * (value - steps[index]!))
    const mean = changes.reduce((sum, change) => sum + change, 0) / changes.length
    expect(mean).toBeGreaterThan(0.2)
    for (let index = 0; index + 16 <= changes.length; index++) {
      const local = changes.slice(index, index + 16).reduce((sum, change) => sum + change, 0) / 16
      expect(local).toBeGreaterThan(0.4 * mean)
      expect(local).toBeLessThan(2 * mean)
    }
  })

  it('scores and gradients are as far from 0 on either side', () => {
    const steps = colormap('diverging', theme).colors.map(lightness)
    for (let index = 0; index < 128; index++) {
      expect(Math.abs(steps[index]! - steps[255 - index]!)).toBeLessThan(6)
    }
  })

  it.each(['sequential', 'diverging'] as const)('numbers on %s can be read', kind => {
    const { colors, ink } = colormap(kind, theme)
    for (const [index, color] of colors.entries()) {
      const y = luminance(color)
      const contrast = ink[index] === '#ffffff' ? 1.05 / (y + 0.05) : (y + 0.05) / 0.05
      expect(contrast).toBeGreaterThan(4.5)
    }
  })
})

it('places values between the ends, 0 in the middle where the map diverges', () => {
  expect(place(scaleOf('diverging', [-2, 1]), 0)).toBe(128)
  expect(place(scaleOf('diverging', [-2, 1]), -2)).toBe(0)
  expect(place(scaleOf('sequential', [0.25, -Infinity]), 0.25)).toBe(255)
  expect(place(scaleOf('sequential', []), 0)).toBe(0)
  const log = { kind: 'sequential', low: 0, high: 1, decades: 4 } as const
  expect([1, 0.01, 0.0001, 0].map(value => place(log, value))).toEqual([255, 128, 0, 0])
})
