/** What the Layers view exports: the grid as a picture, the map on screen as numbers, the stack as a request. */
import type { Exportable } from '../export/export-bar.ts'
import { FONT } from '../matrix/draw-matrix.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'
import type { LayersModel } from './model.ts'
import { paintThumbnail } from './paint.ts'
import { embeddings, transformerBody } from './request.ts'
import { PASSES, type Pass, tokensOf } from './state.ts'
import { TENSOR } from './thumbnail.ts'

const SIDE = 128
const GAP = 8
const MARGIN = 40

export function exportableLayers(model: LayersModel, canvases: () => HTMLCanvasElement[]): Exportable {
  const of = () => model.of ?? model.state.value
  /** the full maps of the head that is shown */
  const maps = () => {
    const { selected } = model.state.value
    if (selected === undefined) return []
    return PASSES.flatMap(pass => {
      const map = model.maps.get({ pass, ...selected })
      return map === undefined ? [] : [{ name: TENSOR[pass], map }]
    })
  }
  return {
    name: 'layers',
    picture: () => drawRun(model, canvases()),
    matrices: () => {
      const tokens = tokensOf(of())
      const { selected } = model.state.value
      const entropy = selected && model.thumbnail('forward', selected.layer, selected.head)?.entropy
      return [
        ...maps().map(({ name, map }) => ({
          name,
          rows: tokens,
          cols: tokens,
          value: (row: number, col: number) => map.data[row * map.cols + col]!,
        })),
        ...(entropy
          ? [{ name: 'entropy', rows: tokens, cols: ['H'], value: (row: number) => entropy[row]! }]
          : []),
      ]
    },
    tensors: () => {
      const { heads, dimHead, seed } = of()
      const tokens = tokensOf(of())
      const x = {
        name: 'x',
        shape: [tokens.length, heads * dimHead],
        data: embeddings(tokens, heads * dimHead, seed),
      }
      return [x, ...maps().map(({ name, map }) => ({ name, shape: [map.rows, map.cols], data: map.data }))]
    },
    facts: () => ({ loss: model.status.value.loss, ...model.state.value.selected }),
    request: () => ({ path: '/v1/transformer', body: transformerBody(of()) }),
  }
}

/** Every thumbnail in its place, both passes side by side; below them the map that is open. */
function drawRun(model: LayersModel, canvases: HTMLCanvasElement[]): HTMLCanvasElement {
  const of = model.of ?? model.state.value
  const passes: Pass[] = of.backward ? [...PASSES] : ['forward']
  const width = of.heads * (SIDE + GAP) + MARGIN
  const height = of.layers * (SIDE + GAP) + MARGIN
  const open = canvases.filter(canvas => canvas.width > 1)
  const sheet = h('canvas', {
    width: Math.max(passes.length * width, ...open.map(canvas => 2 * canvas.width + 3 * MARGIN)),
    height: height + (open.length > 0 ? MARGIN + Math.max(...open.map(canvas => canvas.height)) : 0) + MARGIN,
  })
  const context = sheet.getContext('2d')!
  const style = getComputedStyle(document.body)
  context.fillStyle = style.backgroundColor
  context.fillRect(0, 0, sheet.width, sheet.height)
  context.imageSmoothingEnabled = false
  const cell = h('canvas')
  for (const [index, pass] of passes.entries()) {
    context.fillStyle = style.color
    context.font = `600 15px ${FONT}`
    context.fillText(say()[pass === 'forward' ? 'weightsGrid' : 'gradientsGrid'], index * width + MARGIN, 24)
    for (const thumbnail of model.frames.flat().filter(each => each.pass === pass)) {
      paintThumbnail(cell, thumbnail, model.state.value.log)
      const x = index * width + MARGIN + thumbnail.head * (SIDE + GAP)
      context.drawImage(cell, x, MARGIN + thumbnail.layer * (SIDE + GAP), SIDE, SIDE)
    }
  }
  for (const [index, canvas] of open.entries()) {
    context.drawImage(canvas, MARGIN + index * (canvas.width + MARGIN), height + MARGIN)
  }
  return sheet
}
