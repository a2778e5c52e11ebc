/** Matrices on one sheet, for a PNG: lines of titled pictures, twice as large as on screen. */
import { drawMatrix, geometryOf, type Picture } from '../matrix/draw-matrix.ts'
import { theme } from '../page/theme.ts'

export interface Titled {
  title: string
  picture: Picture
}

const GAP = 28
const TITLE = 26
const RATIO = 2

export function drawSheet(lines: Titled[][]): HTMLCanvasElement {
  const style = getComputedStyle(document.body)
  const laid = lines
    .filter(line => line.length > 0)
    .map(line => line.map(each => ({ ...each, geometry: geometryOf(each.picture, 420) })))
  const heights = laid.map(line => Math.max(...line.map(({ geometry }) => geometry.height)) + TITLE + GAP)
  const widths = laid.map(line =>
    line.reduce((sum, { geometry }) => sum + Math.max(120, geometry.width) + GAP, GAP),
  )
  const canvas = document.createElement('canvas')
  canvas.width = RATIO * Math.max(...widths, 1)
  canvas.height = RATIO * (GAP + heights.reduce((sum, height) => sum + height, 0))
  const context = canvas.getContext('2d')!
  context.scale(RATIO, RATIO)
  context.fillStyle = style.backgroundColor
  context.fillRect(0, 0, canvas.width, canvas.height)
  const ink = {
    text: style.color,
    hatch: style.getPropertyValue('--hatch-ink'),
    paper: style.getPropertyValue('--hatch-paper'),
  }
  let y = GAP
  for (const [index, line] of laid.entries()) {
    let x = GAP
    for (const { title, picture, geometry } of line) {
      context.save()
      context.translate(x, y)
      context.fillStyle = ink.text
      context.font = `600 13px ${style.fontFamily}`
      context.fillText(title, 0, 12)
      context.translate(0, TITLE)
      drawMatrix(context, picture, geometry, theme(), ink)
      context.restore()
      x += Math.max(120, geometry.width) + GAP
    }
    y += heights[index]!
  }
  return canvas
}
