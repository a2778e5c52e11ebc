/**
 * Two maps of 256 colours, in steps of equal lightness: *sequential* for weights, in viridis' hues, and *diverging* around
 * 0 for scores and gradients. Each starts at the page's own background, so that nothing there looks like nothing.
 */
import type { Theme } from '../page/theme.ts'
import { luminance, oklch, type Rgb } from './oklab.ts'

export type MapKind = 'sequential' | 'diverging'

export interface Colormap {
  kind: MapKind
  colors: Rgb[]
  /** the same as little-endian RGBA pixels */
  pixels: Uint32Array
  /** black or white, whichever reads better on it */
  ink: string[]
}

const mix = (from: number, to: number, t: number) => from + (to - from) * t

/** Dark: violet to yellow as viridis. Light: the same way round from paper, so that small weights recede here as well. */
function sequential(theme: Theme, t: number): Rgb {
  if (theme === 'dark')
    return oklch(mix(0.2, 0.92, t), mix(0.035, 0.16, Math.min(1, 2.2 * t)), mix(292, 102, t))
  return oklch(mix(0.975, 0.3, t), mix(0.015, 0.14, Math.min(1, 2.5 * t)), mix(112, 290, t ** 0.8))
}

/** Blue below 0, orange above it: told apart by readers with any colour vision. */
function diverging(theme: Theme, t: number): Rgb {
  const side = Math.abs(2 * t - 1)
  const hue = t < 0.5 ? 255 : 48
  const [middle, end] = theme === 'dark' ? [0.22, 0.8] : [0.975, 0.5]
  return oklch(mix(middle, end, side), mix(0.004, 0.15, side), hue)
}

function build(kind: MapKind, theme: Theme): Colormap {
  const make = kind === 'sequential' ? sequential : diverging
  const colors = Array.from({ length: 256 }, (_, index) => make(theme, index / 255))
  return {
    kind,
    colors,
    pixels: Uint32Array.from(
      colors,
      ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0,
    ),
    // white on a colour has contrast 1.05 / (Y + 0.05), black (Y + 0.05) / 0.05: they meet at Y ≈ 0.179
    ink: colors.map(color => (luminance(color) > 0.179 ? '#000000' : '#ffffff')),
  }
}

const built = new Map<string, Colormap>()

export function colormap(kind: MapKind, theme: Theme): Colormap {
  const key = `${kind} ${theme}`
  let map = built.get(key)
  if (map === undefined) {
    map = build(kind, theme)
    built.set(key, map)
  }
  return map
}
