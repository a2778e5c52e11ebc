/** A run on one sheet: every thumbnail in its place, both passes side by side; below them the maps that are open, with their tokens. */
import { colormap } from '../color/colormap.ts'
import { place, type Scale } from '../color/scale.ts'
import type { Pen } from '../export/pen.ts'
import { ink, type Sheet } from '../export/sheet.ts'
import { FONT } from '../matrix/draw-matrix.ts'
import { format } from '../matrix/format.ts'
import { h } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { say } from '../words/language.ts'
import type { FullMap } from './full-maps.ts'
import type { LayersModel } from './model.ts'
import { largestOf, paintMap, paintThumbnail, scaleOfMap } from './paint.ts'
import { PASSES, type Pass } from './state.ts'

const CELL = 88
const GAP = 6
const MARGIN = 32
const HEAD = 52
const NAMES = 84
const LARGEST = 520
/** of more tokens each pair is a pixel of a picture instead of a rectangle */
const RECTANGLES = 64
const LINE = 13

export function sheetOfRun(model: LayersModel): Sheet {
  const { layers, heads, backward } = model.of ?? model.state.value
  const passes: Pass[] = backward ? [...PASSES] : ['forward']
  const gridWidth = MARGIN + heads * (CELL + GAP)
  const gridHeight = HEAD + layers * (CELL + GAP)
  const open = openMaps(model)
  const widths = open.map(({ map }) => NAMES + sideOf(map) + MARGIN)
  const tallest = Math.max(0, ...open.map(({ map }) => HEAD + NAMES + sideOf(map) + HEAD))
  return {
    width: MARGIN + Math.max(passes.length * (gridWidth + MARGIN), sum(widths)),
    height: gridHeight + MARGIN + tallest,
    draw(pen) {
      for (const [index, pass] of passes.entries()) {
        at(pen, MARGIN + index * (gridWidth + MARGIN), 0, () => drawGrid(pen, model, pass))
      }
      for (const [index, each] of open.entries()) {
        at(pen, MARGIN + sum(widths.slice(0, index)), gridHeight + MARGIN, () =>
          drawOpen(pen, each, model.drawn.names),
        )
      }
    },
  }
}

interface OpenMap {
  pass: Pass
  title: string
  map: FullMap
  log: boolean
}

function openMaps(model: LayersModel): OpenMap[] {
  const { selected, log } = model.state.value
  if (selected === undefined) return []
  const { layer, head } = selected
  return PASSES.flatMap(pass => {
    const map = model.map({ pass, layer, head })
    const name = pass === 'forward' ? say().weightsMap : say().gradientsMap
    return map === undefined
      ? []
      : [{ pass, map, log, title: `${say().mapOf(layer + 1, head + 1)} · ${name}` }]
  })
}

function sideOf({ cols }: FullMap): number {
  return Math.max(160, Math.min(LARGEST, cols * 26))
}

function drawGrid(pen: Pen, model: LayersModel, pass: Pass): void {
  const { layers, heads } = model.of ?? model.state.value
  const text = ink().text
  write(pen, say()[pass === 'forward' ? 'weightsGrid' : 'gradientsGrid'], 0, 22, { bold: true, text })
  for (let head = 0; head < heads; head++)
    write(pen, String(head + 1), MARGIN + head * (CELL + GAP) + CELL / 2, 44, { align: 'center', text })
  for (let layer = 0; layer < layers; layer++)
    write(pen, String(layer + 1), 12, HEAD + layer * (CELL + GAP) + CELL / 2 + 4, { align: 'center', text })
  pen.imageSmoothingEnabled = false
  for (const thumbnail of model.frames.flat().filter(each => each.pass === pass)) {
    const cell = h('canvas')
    paintThumbnail(cell, model.drawn.thumbnail(thumbnail), model.state.value.log)
    const { layer, head } = thumbnail
    pen.drawImage(cell, MARGIN + head * (CELL + GAP), HEAD + layer * (CELL + GAP), CELL, CELL)
  }
}

function drawOpen(pen: Pen, { pass, map, log, title }: OpenMap, tokens: string[]): void {
  const text = ink().text
  const side = sideOf(map)
  write(pen, title, 0, 22, { bold: true, text })
  at(pen, NAMES, HEAD + NAMES - MARGIN, () => {
    const scale = drawPixels(pen, map, pass, log, side)
    const cell = side / Math.max(1, map.cols)
    const step = Math.max(1, Math.ceil(LINE / cell))
    for (let index = 0; index < map.cols; index += step) {
      const middle = (index + 0.5) * cell
      const name = tokens[index] ?? ''
      write(pen, cut(name), -6, middle + 4, { align: 'right', text })
      at(pen, middle, -6, () => {
        pen.rotate(-Math.PI / 3)
        write(pen, cut(name), 0, 4, { text })
      })
    }
    drawLegend(pen, scale, side + 14, text)
  })
}

function drawPixels(pen: Pen, map: FullMap, pass: Pass, log: boolean, side: number): Scale {
  if (map.cols > RECTANGLES) {
    const canvas = h('canvas')
    const { scale, bands } = paintMap(canvas, map, pass, log)
    for (const band of bands) band()
    pen.imageSmoothingEnabled = false
    pen.drawImage(canvas, 0, 0, side, side)
    return scale
  }
  const scale = scaleOfMap(pass, largestOf(map.data), log)
  const { colors } = colormap(scale.kind, theme())
  const cell = side / Math.max(1, map.cols)
  for (const [index, value] of map.data.entries()) {
    pen.fillStyle = `rgb(${colors[place(scale, value)]!.join(' ')})`
    pen.fillRect((index % map.cols) * cell, Math.floor(index / map.cols) * cell, cell, cell)
  }
  return scale
}

function drawLegend(pen: Pen, scale: Scale, y: number, text: string): void {
  const { low, high, decades, kind } = scale
  const { colors } = colormap(kind, theme())
  write(pen, format(decades === undefined ? low : high / 10 ** decades, 2), 44, y + 10, {
    align: 'right',
    text,
  })
  for (let step = 0; step < 64; step++) {
    pen.fillStyle = `rgb(${colors[Math.round((step * 255) / 63)]!.join(' ')})`
    pen.fillRect(52 + step * 2, y, 2, 12)
  }
  write(pen, format(high, 2), 188, y + 10, { text })
}

function write(
  pen: Pen,
  words: string,
  x: number,
  y: number,
  { text, bold = false, align = 'left' }: { text: string; bold?: boolean; align?: CanvasTextAlign },
): void {
  pen.fillStyle = text
  pen.font = bold ? `600 15px ${FONT}` : `12px ${FONT}`
  pen.textAlign = align
  pen.textBaseline = 'alphabetic'
  pen.fillText(words, x, y)
}

function at(pen: Pen, x: number, y: number, draw: () => void): void {
  pen.save()
  pen.translate(x, y)
  draw()
  pen.restore()
}

function cut(token: string): string {
  return token.length > 12 ? `${token.slice(0, 11)}…` : token
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
