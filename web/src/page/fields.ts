/** Labelled controls that follow a store: `sync` writes the state into them, their events write it back. */
import { formula, h } from './dom.ts'

export interface Field<T> {
  element: HTMLElement
  sync(value: T): void
}

export function choice<T extends string>(
  label: string,
  id: string,
  options: readonly (readonly [value: T, text: string])[],
  onChange: (value: T) => void,
): Field<T> {
  const select = h(
    'select',
    { id, onchange: () => onChange(select.value as T) },
    ...options.map(([value, text]) => h('option', { value }, text)),
  )
  return {
    element: h('div', { class: 'field' }, h('label', { for: id }, ...formula(label)), select),
    sync(value) {
      if (select.value !== value) select.value = value
    },
  }
}

export function count(
  label: string,
  id: string,
  [low, high]: readonly [number, number],
  onChange: (value: number) => void,
): Field<number> {
  const input = h('input', {
    id,
    type: 'number',
    min: low,
    max: high,
    step: 1,
    inputmode: 'numeric',
    oninput: () => {
      const value = input.valueAsNumber
      if (Number.isInteger(value) && value >= low && value <= high) onChange(value)
    },
  })
  return {
    element: h('div', { class: 'field field-count' }, h('label', { for: id }, ...formula(label)), input),
    sync(value) {
      if (document.activeElement !== input || input.valueAsNumber !== value) input.value = String(value)
    },
  }
}

export function check(label: string, id: string, onChange: (checked: boolean) => void): Field<boolean> {
  const input = h('input', { id, type: 'checkbox', onchange: () => onChange(input.checked) })
  return {
    element: h('div', { class: 'field field-check' }, input, h('label', { for: id }, ...formula(label))),
    sync(value) {
      input.checked = value
    },
  }
}

export function text(label: string, id: string, onInput: (value: string) => void): Field<string> {
  const input = h('textarea', { id, rows: 2, spellcheck: 'false', oninput: () => onInput(input.value) })
  return {
    element: h('div', { class: 'field field-text' }, h('label', { for: id }, ...formula(label)), input),
    sync(value) {
      if (input.value !== value) input.value = value
    },
  }
}
