/** A matrix on a canvas: coloured cells, their numbers where there is room, the names of rows and columns. */
import { colormap } from '../color/colormap.ts'
import { place, type Scale } from '../color/scale.ts'
import type { Pen } from '../export/pen.ts'
import type { Theme } from '../page/theme.ts'
import { format } from './format.ts'
import { columns, type Matrix } from './matrix.ts'

export interface Picture {
  values: Matrix
  rows: string[]
  cols: string[]
  scale: Scale
}

export interface Geometry {
  /** of the cells' top left corner */
  x: number
  y: number
  cellWidth: number
  cellHeight: number
  width: number
  height: number
  numbers: boolean
}

export const FONT =
  "'Inter Variable', 'Segoe UI', 'Helvetica Neue', Arial, Roboto, 'DejaVu Sans', 'Noto Sans KR Variable', system-ui, sans-serif"
const LABEL_SIZE = 12
const LABEL_ROOM = 68
const SLANT = 26
/** more rows or columns than this are squares of colour without their numbers */
const NUMBERED = 8

/** The largest cells that fit into `room` pixels; numbers are written where they can be read. */
export function geometryOf({ values, rows, cols }: Picture, room: number): Geometry {
  const count = Math.max(1, columns(values))
  const square = count > NUMBERED || values.length > NUMBERED
  const x = Math.min(LABEL_ROOM, 14 + 7.2 * Math.max(1, ...rows.map(label => shownWidth(label))))
  const wish = square ? Math.max(4, Math.min(26, 400 / Math.max(count, values.length))) : count <= 4 ? 58 : 52
  const fitting = (width: number) => Math.max(3, Math.min(wish, width / count))
  const isTall = (width: number) => width >= 11 && turned(cols, width)
  // the last of the slanted names leans out of the picture
  const upright = fitting(room - x)
  const cellWidth = isTall(upright) ? fitting(room - x - SLANT) : upright
  const cellHeight = square ? cellWidth : Math.min(34, cellWidth)
  const tall = isTall(cellWidth)
  const y = cellWidth >= 11 ? (tall ? 52 : 22) : 4
  return {
    x: cellHeight >= 11 ? x : 4,
    y,
    cellWidth,
    cellHeight,
    width: Math.ceil((cellHeight >= 11 ? x : 4) + count * cellWidth + (tall ? SLANT : 1)),
    height: Math.ceil(y + values.length * cellHeight + 1),
    numbers: !square && cellWidth >= 34,
  }
}

/** Hangul and its neighbours are about twice as wide as Latin letters. */
function shownWidth(label: string): number {
  let width = 0
  for (const letter of label) width += letter >= 'ᄀ' ? 1.8 : 1
  return Math.min(8, width)
}

function turned(labels: string[], cellWidth: number): boolean {
  return labels.some(label => shownWidth(label) * 7 > cellWidth)
}

export interface Ink {
  text: string
  hatch: string
  paper: string
}

export function drawMatrix(context: Pen, picture: Picture, geometry: Geometry, theme: Theme, ink: Ink): void {
  const { values, scale } = picture
  const { x, y, cellWidth, cellHeight, numbers } = geometry
  const map = colormap(scale.kind, theme)
  const gap = cellWidth >= 20 ? 1 : 0
  const digits = cellWidth >= 44 ? 4 : 3
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  for (const [i, row] of values.entries()) {
    for (const [j, value] of row.entries()) {
      const left = x + j * cellWidth
      const top = y + i * cellHeight
      const shown = Number.isFinite(value)
      const index = place(scale, value)
      context.fillStyle = shown ? `rgb(${map.colors[index]!.join(' ')})` : ink.paper
      context.fillRect(left, top, cellWidth - gap, cellHeight - gap)
      if (!shown) hatch(context, left, top, cellWidth - gap, cellHeight - gap, ink.hatch)
      if (!numbers) continue
      context.fillStyle = shown ? map.ink[index]! : ink.text
      context.font = `${cellWidth >= 44 ? 12.5 : 11}px ${FONT}`
      context.fillText(short(value, digits), left + (cellWidth - gap) / 2, top + (cellHeight - gap) / 2 + 0.5)
    }
  }
  drawLabels(context, picture, geometry, ink.text)
}

/** At most seven characters. */
function short(value: number, digits: number): string {
  const text = format(value, digits)
  return text.length <= digits + 3 ? text : format(value, Math.max(0, digits - (text.length - digits - 3)))
}

function hatch(context: Pen, left: number, top: number, width: number, height: number, color: string): void {
  context.save()
  context.beginPath()
  context.rect(left, top, width, height)
  context.clip()
  context.strokeStyle = color
  context.lineWidth = 1
  context.beginPath()
  for (let offset = -height; offset < width; offset += 6) {
    context.moveTo(left + offset, top + height)
    context.lineTo(left + offset + height, top)
  }
  context.stroke()
  context.restore()
}

function drawLabels(
  context: Pen,
  { rows, cols }: Picture,
  { x, y, cellWidth, cellHeight }: Geometry,
  color: string,
): void {
  context.font = `${LABEL_SIZE}px ${FONT}`
  context.fillStyle = color
  if (cellHeight >= 11) {
    context.textAlign = 'right'
    for (const [i, label] of rows.entries()) {
      context.fillText(fitted(context, label, x - 10), x - 8, y + (i + 0.5) * cellHeight)
    }
  }
  if (cellWidth < 11) return
  const tall = turned(cols, cellWidth)
  for (const [j, label] of cols.entries()) {
    context.save()
    context.translate(x + (j + 0.5) * cellWidth - 0.5, y - 6)
    if (tall) context.rotate(-Math.PI / 3.4)
    context.textAlign = tall ? 'left' : 'center'
    context.textBaseline = tall ? 'middle' : 'bottom'
    context.fillText(fitted(context, label, tall ? 52 : cellWidth), 0, 0)
    context.restore()
  }
}

function fitted(context: Pen, label: string, width: number): string {
  if (context.measureText(label).width <= width) return label
  let text = label
  while (text.length > 1 && context.measureText(`${text}…`).width > width) text = text.slice(0, -1)
  return `${text}…`
}
