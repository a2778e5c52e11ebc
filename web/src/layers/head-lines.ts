/** The head view: lines from one query to the keys it attends to, as strong as their weights. */

import { colormap } from '../color/colormap.ts'
import { FONT } from '../matrix/draw-matrix.ts'
import { h } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { say } from '../words/language.ts'
import type { FullMap } from './full-maps.ts'

const WIDTH = 340
const LABEL = 108
const LINE = 17
const TALLEST = 440
/** of more tokens than have room only the most attended are named */
const NAMED = 10
/** more lines than these are nothing but a haze, and cost as much */
const DRAWN = 160

export class HeadLines {
  readonly #canvas = h('canvas', { role: 'img' })
  readonly element = h('figure', { class: 'head-lines' }, h('figcaption', {}, say().headLines), this.#canvas)

  show(map: FullMap | undefined, tokens: string[], row: number): void {
    this.element.classList.toggle('waiting', map === undefined)
    if (map === undefined) return
    const weights = map.data.subarray(row * map.cols, (row + 1) * map.cols)
    const height = Math.min(TALLEST, tokens.length * LINE + 8)
    const order = Array.from(weights.keys()).sort((a, b) => weights[b]! - weights[a]!)
    const named =
      tokens.length * LINE + 8 <= TALLEST ? order : spread(order.slice(0, NAMED), height, tokens.length)
    this.#draw(weights, tokens, row, height, order, named)
    const best = order.slice(0, 3).map(key => `${tokens[key]} ${weights[key]!.toFixed(3)}`)
    this.#canvas.setAttribute('aria-label', say().headLinesOf(tokens[row] ?? '', best.join(', ')))
  }

  #draw(
    weights: ArrayLike<number>,
    tokens: string[],
    row: number,
    height: number,
    order: number[],
    named: number[],
  ): void {
    const canvas = this.#canvas
    const ratio = devicePixelRatio
    canvas.width = WIDTH * ratio
    canvas.height = height * ratio
    Object.assign(canvas.style, { width: `${WIDTH}px`, height: `${height}px` })
    const context = canvas.getContext('2d')
    if (context === null) return
    context.scale(ratio, ratio)
    const style = getComputedStyle(this.element)
    const y = (index: number) => 4 + ((index + 0.5) * (height - 8)) / tokens.length
    const strongest = order.slice(0, DRAWN)
    const largest = weights[order[0]!] ?? 0
    const colors = colormap('sequential', theme()).colors
    // the weakest first, so that the strongest lie above them
    for (const key of strongest.toReversed()) {
      const strength = largest === 0 ? 0 : weights[key]! / largest
      if (strength < 0.004) continue
      context.strokeStyle = `rgb(${colors[Math.round(80 + 175 * strength)]!.join(' ')} / ${Math.sqrt(strength)})`
      context.lineWidth = 0.5 + 3 * strength
      context.beginPath()
      context.moveTo(LABEL, y(row))
      context.bezierCurveTo(WIDTH / 2, y(row), WIDTH / 2, y(key), WIDTH - LABEL, y(key))
      context.stroke()
    }
    context.textBaseline = 'middle'
    const all = tokens.length * LINE + 8 <= TALLEST
    context.textAlign = 'right'
    for (let query = 0; query < tokens.length; query++) {
      if (!all && query !== row) continue
      context.font = `${query === row ? 650 : 400} 12px ${FONT}`
      context.fillStyle = query === row ? style.getPropertyValue('--accent') : style.color
      context.fillText(short(tokens[query]!), LABEL - 6, y(query))
    }
    context.textAlign = 'left'
    context.font = `12px ${FONT}`
    context.fillStyle = style.color
    for (const key of named) context.fillText(short(tokens[key]!), WIDTH - LABEL + 6, y(key))
  }
}

/** Those of the names that do not stand upon a stronger one. */
function spread(order: number[], height: number, count: number): number[] {
  const kept: number[] = []
  const apart = (LINE * count) / height
  for (const key of order) if (kept.every(other => Math.abs(other - key) >= apart)) kept.push(key)
  return kept
}

function short(token: string): string {
  return token.length > 14 ? `${token.slice(0, 13)}…` : token
}
