/** A colour bar with the values at its ends. */

import { format } from '../matrix/format.ts'
import { h } from '../page/dom.ts'
import { theme } from '../page/theme.ts'
import { colormap } from './colormap.ts'
import type { Scale } from './scale.ts'

export class Legend {
  readonly #canvas = h('canvas', { width: 256, height: 1, 'aria-hidden': 'true' })
  readonly #low = h('span')
  readonly #high = h('span')
  readonly element = h('div', { class: 'legend' }, this.#low, this.#canvas, this.#high)

  update(scale: Scale): void {
    const context = this.#canvas.getContext('2d')
    if (context === null) return
    const image = context.createImageData(256, 1)
    new Uint32Array(image.data.buffer).set(colormap(scale.kind, theme()).pixels)
    context.putImageData(image, 0, 0)
    const { low, high, decades } = scale
    this.#low.textContent = format(decades === undefined ? low : high / 10 ** decades, 2)
    this.#high.textContent = format(high, 2)
  }
}
