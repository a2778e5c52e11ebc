/** Takes the drawing calls that a canvas takes, as far as the page's sheets use them, and writes SVG. */
import { FONT } from '../matrix/draw-matrix.ts'
import type { Pen } from './pen.ts'

const ANCHORS: Record<string, string> = { center: 'middle', right: 'end', end: 'end' }
const BASELINES: Record<string, string> = { middle: 'central', bottom: 'text-after-edge' }

export class SvgPen implements Pen {
  fillStyle: CanvasRenderingContext2D['fillStyle'] = '#000'
  strokeStyle: CanvasRenderingContext2D['strokeStyle'] = '#000'
  lineWidth = 1
  textAlign: CanvasTextAlign = 'left'
  textBaseline: CanvasTextBaseline = 'alphabetic'
  imageSmoothingEnabled = true
  readonly #ruler = document.createElement('canvas').getContext('2d')!
  readonly #parts: string[] = []
  readonly #saved: { transform: string; clip: string }[] = []
  #transform = ''
  #clip = ''
  #clips = 0
  #path = ''
  #rectangle = ''

  set font(font: string) {
    this.#ruler.font = font
  }

  get font(): string {
    return this.#ruler.font
  }

  save(): void {
    this.#saved.push({ transform: this.#transform, clip: this.#clip })
  }

  restore(): void {
    const { transform, clip } = this.#saved.pop() ?? { transform: '', clip: '' }
    this.#transform = transform
    this.#clip = clip
  }

  translate(x: number, y: number): void {
    this.#transform += ` translate(${short(x)} ${short(y)})`
  }

  rotate(angle: number): void {
    this.#transform += ` rotate(${short((angle * 180) / Math.PI)})`
  }

  scale(x: number, y: number): void {
    this.#transform += ` scale(${short(x)} ${short(y)})`
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.#add('rect', `${box(x, y, width, height)} ${paint('fill', this.fillStyle)}`)
  }

  strokeRect(x: number, y: number, width: number, height: number): void {
    this.#add('rect', `${box(x, y, width, height)} fill="none" ${this.#stroke()}`)
  }

  fillText(text: string, x: number, y: number): void {
    const size = /([\d.]+)px/.exec(this.font)?.[1] ?? '12'
    const weight = /^(\d{3}|bold)/.exec(this.font)?.[1]
    const place = [
      `x="${short(x)}" y="${short(y)}" font-size="${size}"`,
      weight && `font-weight="${weight}"`,
      ANCHORS[this.textAlign] && `text-anchor="${ANCHORS[this.textAlign]}"`,
      BASELINES[this.textBaseline] && `dominant-baseline="${BASELINES[this.textBaseline]}"`,
      paint('fill', this.fillStyle),
    ]
    this.#add('text', place.filter(Boolean).join(' '), escaped(text))
  }

  measureText(text: string): TextMetrics {
    return this.#ruler.measureText(text)
  }

  beginPath(): void {
    this.#path = ''
    this.#rectangle = ''
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.#rectangle = box(x, y, width, height)
  }

  clip(): void {
    const id = `clip${++this.#clips}`
    this.#parts.push(`<clipPath id="${id}"><rect ${this.#rectangle}/></clipPath>`)
    this.#clip = ` clip-path="url(#${id})"`
  }

  moveTo(x: number, y: number): void {
    this.#path += `M${short(x)} ${short(y)}`
  }

  lineTo(x: number, y: number): void {
    this.#path += `L${short(x)} ${short(y)}`
  }

  stroke(): void {
    this.#add('path', `d="${this.#path}" fill="none" ${this.#stroke()}`)
  }

  drawImage(image: HTMLCanvasElement, x: number, y: number, width: number, height: number): void {
    const smooth = this.imageSmoothingEnabled ? '' : ' style="image-rendering:pixelated"'
    const place = `${box(x, y, width, height)} preserveAspectRatio="none"${smooth}`
    this.#add('image', `${place} href="${image.toDataURL()}"`)
  }

  /** The whole file. */
  file(width: number, height: number): string {
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${escaped(FONT)}">`,
      ...this.#parts,
      '</svg>\n',
    ].join('\n')
  }

  #stroke(): string {
    return `${paint('stroke', this.strokeStyle)} stroke-width="${short(this.lineWidth)}"`
  }

  #add(tag: string, attributes: string, content = ''): void {
    const transform = this.#transform === '' ? '' : ` transform="${this.#transform.trim()}"`
    this.#parts.push(`<${tag} ${attributes}${transform}${this.#clip}>${content}</${tag}>`)
  }
}

function box(x: number, y: number, width: number, height: number): string {
  return `x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${short(height)}"`
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100)
}

/** Colours with blanks between their parts are newer than many programs that read SVG. */
function paint(name: 'fill' | 'stroke', style: CanvasRenderingContext2D['fillStyle']): string {
  const color = String(style).trim()
  const [red, green, blue] = /^rgb\(([\d.]+) ([\d.]+) ([\d.]+)\)$/.exec(color)?.slice(1) ?? []
  return `${name}="${blue === undefined ? escaped(color) : `rgb(${red},${green},${blue})`}"`
}

function escaped(text: string): string {
  const codes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, letter => codes[letter]!)
}
