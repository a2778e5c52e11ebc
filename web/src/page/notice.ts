/** A message that stands out, with a button where something can be done about it. */
import { h } from './dom.ts'

export interface Action {
  label: string
  act(): void
}

export class Notice {
  readonly #text = h('p', { class: 'problem' })
  readonly #button = h('button', { type: 'button', class: 'button', onclick: () => this.#act?.() })
  readonly element = h('div', { class: 'notice', role: 'alert', hidden: true }, this.#text, this.#button)
  #act: (() => void) | undefined

  show(text: string | undefined, action?: Action): void {
    this.#act = action?.act
    this.element.hidden = text === undefined
    // what is the same is not said again
    if (this.#text.textContent !== (text ?? '')) this.#text.textContent = text ?? ''
    this.#button.hidden = action === undefined
    this.#button.textContent = action?.label ?? ''
  }
}
