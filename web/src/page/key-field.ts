/** Where the reader gives a key: shown while the server asks for one, or for another. */
import { say } from '../words/language.ts'
import { access, chooseKey } from './access.ts'
import { h } from './dom.ts'
import type { View } from './view.ts'

export function keyField(): View {
  const words = say()
  const reason = h('p', { class: 'problem', role: 'alert' })
  const input = h('input', {
    id: 'key',
    type: 'password',
    required: true,
    autocomplete: 'off',
    spellcheck: 'false',
    'aria-describedby': 'key-note',
  })
  const element = h(
    'form',
    {
      class: 'setup key-field',
      'aria-label': words.keyLabel,
      onsubmit: event => {
        event.preventDefault()
        // the same words once more are read aloud once more
        reason.textContent = ''
        chooseKey(input.value.trim())
      },
    },
    reason,
    h(
      'div',
      { class: 'fields' },
      h('div', { class: 'field' }, h('label', { for: 'key' }, words.keyLabel), input),
      h('button', { type: 'submit', class: 'button primary' }, words.keyUse),
    ),
    h('p', { class: 'hint', id: 'key-note' }, words.keyNote),
  )
  const update = () => {
    const { wanted } = access.value
    element.hidden = wanted === undefined
    if (wanted !== undefined) reason.textContent = wanted === 'key' ? words.keyWanted : words.keyRefused
  }
  update()
  return { element, dispose: access.watch(update) }
}
