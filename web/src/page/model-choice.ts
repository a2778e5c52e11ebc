/** The choice of what runs: the models that the server has, and random numbers from a seed. */
import { say } from '../words/language.ts'
import { SEEDED } from './address.ts'
import { h } from './dom.ts'
import type { Field } from './fields.ts'
import { LESSON, models } from './models.ts'

export function modelChoice(id: string, onChange: (name: string) => void): Field<string | undefined> {
  const select = h('select', { id, onchange: () => onChange(select.value) })
  let shown: string | undefined
  return {
    element: h('div', { class: 'field' }, h('label', { for: id }, say().model), select),
    sync(name = SEEDED) {
      const names = namesWith(name)
      if (names.join('\n') !== shown) select.replaceChildren(...names.map(optionOf))
      shown = names.join('\n')
      select.value = name
    },
  }
}

/** A link may name a model that is not there: it is shown, and the server says what is wrong with it. */
function namesWith(chosen: string): string[] {
  const names = [...(models.value.list ?? []).map(({ name }) => name), SEEDED]
  return names.includes(chosen) ? names : [chosen, ...names]
}

function optionOf(name: string): HTMLOptionElement {
  const text = name === SEEDED ? say().seeded : name === LESSON ? say().lessonModel : name
  return h('option', { value: name }, text)
}
