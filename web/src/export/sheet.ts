/** A drawing with its size: for a PNG twice as large as it says, or an SVG; and matrices as one. */
import { drawMatrix, geometryOf, type Ink, type Picture } from '../matrix/draw-matrix.ts'
import { theme } from '../page/theme.ts'
import type { Pen } from './pen.ts'
import { SvgPen } from './svg-pen.ts'

export interface Sheet {
  width: number
  height: number
  draw(pen: Pen): void
}

export interface Titled {
  title: string
  picture: Picture
}

const GAP = 28
const TITLE = 26
const RATIO = 2
/** browsers draw on no larger canvas than this everywhere */
const LARGEST_SIDE = 8192

export function canvasOf(sheet: Sheet): HTMLCanvasElement {
  const { width, height } = sheet
  const ratio = Math.min(RATIO, LARGEST_SIDE / Math.max(width, height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(ratio * width)
  canvas.height = Math.round(ratio * height)
  const context = canvas.getContext('2d')!
  context.scale(ratio, ratio)
  drawOn(context, sheet)
  return canvas
}

export function svgOf(sheet: Sheet): string {
  const pen = new SvgPen()
  drawOn(pen, sheet)
  return pen.file(sheet.width, sheet.height)
}

/** As the page is coloured. */
export function ink(): Ink {
  const style = getComputedStyle(document.body)
  return {
    text: style.color,
    hatch: style.getPropertyValue('--hatch-ink'),
    paper: style.getPropertyValue('--hatch-paper'),
  }
}

function drawOn(pen: Pen, { width, height, draw }: Sheet): void {
  pen.fillStyle = getComputedStyle(document.body).backgroundColor
  pen.fillRect(0, 0, width, height)
  draw(pen)
}

export function sheetOf(lines: Titled[][]): Sheet {
  const { fontFamily } = getComputedStyle(document.body)
  const laid = lines
    .filter(line => line.length > 0)
    .map(line => line.map(each => ({ ...each, geometry: geometryOf(each.picture, 420) })))
  const heights = laid.map(line => Math.max(...line.map(({ geometry }) => geometry.height)) + TITLE + GAP)
  const widths = laid.map(line =>
    line.reduce((sum, { geometry }) => sum + Math.max(120, geometry.width) + GAP, GAP),
  )
  return {
    width: Math.max(...widths, 1),
    height: GAP + heights.reduce((sum, height) => sum + height, 0),
    draw(pen) {
      const colors = ink()
      let y = GAP
      for (const [index, line] of laid.entries()) {
        let x = GAP
        for (const { title, picture, geometry } of line) {
          pen.save()
          pen.translate(x, y)
          pen.fillStyle = colors.text
          pen.textAlign = 'left'
          pen.textBaseline = 'alphabetic'
          pen.font = `600 13px ${fontFamily}`
          pen.fillText(title, 0, 12)
          pen.translate(0, TITLE)
          drawMatrix(pen, picture, geometry, theme(), colors)
          pen.restore()
          x += Math.max(120, geometry.width) + GAP
        }
        y += heights[index]!
      }
    },
  }
}
