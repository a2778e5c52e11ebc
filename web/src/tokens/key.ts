/** What the marks in the names of tokens mean, where there are any. */
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'

export class TokenKey {
  readonly element = h('p', { class: 'hint token-key', hidden: true })

  show(names: readonly string[]): void {
    const has = (mark: RegExp) => names.some(name => mark.test(name))
    const parts = [has(/␣/) && say().spaceMark, has(/[₁-₄]/) && say().partMark].filter(Boolean)
    this.element.textContent = parts.join(' ')
    this.element.hidden = parts.length === 0
  }
}
