/** Colours bytes and numbers into pixels, through tables made once. */
import { colormap } from '../color/colormap.ts'
import { place, type Scale } from '../color/scale.ts'
import { theme } from '../page/theme.ts'
import type { FullMap } from './full-maps.ts'
import type { Pass } from './state.ts'
import type { Thumbnail } from './thumbnail.ts'

/** How many powers of ten a logarithmic scale shows. */
export const DECADES = 4

export function scaleOfMap(pass: Pass, high: number, log: boolean): Scale {
  const largest = high || 1
  if (pass === 'backward') return { kind: 'diverging', low: -largest, high: largest }
  return { kind: 'sequential', low: 0, high: largest, ...(log && { decades: DECADES }) }
}

const tables = new Map<string, Uint32Array>()

/** The pixel of each byte of a thumbnail. */
function byteTable(pass: Pass, log: boolean): Uint32Array {
  const key = `${pass} ${log} ${theme()}`
  let table = tables.get(key)
  if (table === undefined) {
    const scale = scaleOfMap(pass, 1, log)
    const { pixels } = colormap(scale.kind, theme())
    table = Uint32Array.from({ length: 256 }, (_, byte) => {
      const value = pass === 'forward' ? byte / 255 : (byte - 128) / 127
      return pixels[place(scale, value)]!
    })
    tables.set(key, table)
  }
  return table
}

export function paintThumbnail(
  canvas: HTMLCanvasElement,
  { pass, rows, cols, bytes }: Thumbnail,
  log: boolean,
): void {
  if (canvas.width !== cols || canvas.height !== rows) {
    canvas.width = cols
    canvas.height = rows
  }
  const context = canvas.getContext('2d')
  if (context === null || rows === 0 || cols === 0) return
  const image = context.createImageData(cols, rows)
  const pixels = new Uint32Array(image.data.buffer)
  const table = byteTable(pass, log)
  for (let index = 0; index < bytes.length; index++) pixels[index] = table[bytes[index]!]!
  context.putImageData(image, 0, 0)
}

/** How many pixels are coloured in one go: about a millisecond. */
const BAND = 1 << 16

/**
 * A map of a million pairs takes longer than a frame of the screen: it is painted in bands, each a task to be run when there
 * is time. The canvas has its size, and the scale is known, at once.
 */
export function paintMap(
  canvas: HTMLCanvasElement,
  map: FullMap,
  pass: Pass,
  log: boolean,
): { scale: Scale; bands: (() => void)[] } {
  canvas.width = map.cols
  canvas.height = map.rows
  const scale = scaleOfMap(pass, largestOf(map.data), log)
  const colors = colormap(scale.kind, theme()).pixels
  const context = canvas.getContext('2d')
  const height = Math.max(1, Math.floor(BAND / Math.max(1, map.cols)))
  const bands: (() => void)[] = []
  for (let top = 0; top < map.rows && context !== null && map.cols > 0; top += height) {
    const rows = Math.min(height, map.rows - top)
    bands.push(() => {
      const image = context.createImageData(map.cols, rows)
      const values = map.data.subarray(top * map.cols, (top + rows) * map.cols)
      color(values, scale, colors, new Uint32Array(image.data.buffer))
      context.putImageData(image, 0, top)
    })
  }
  return { scale, bands }
}

function color(values: FullMap['data'], scale: Scale, colors: Uint32Array, pixels: Uint32Array): void {
  const { low, high, decades } = scale
  if (decades !== undefined) {
    for (let index = 0; index < values.length; index++) pixels[index] = colors[place(scale, values[index]!)]!
    return
  }
  const factor = 255 / (high - low)
  for (let index = 0; index < values.length; index++) {
    pixels[index] = colors[((values[index]! - low) * factor + 0.5) | 0]!
  }
}

export function largestOf(data: Float32Array | Float64Array): number {
  let high = 0
  for (let index = 0; index < data.length; index++) {
    const size = Math.abs(data[index]!)
    if (size > high) high = size
  }
  return high
}
