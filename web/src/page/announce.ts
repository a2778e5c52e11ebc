import { h } from './dom.ts'

/** What a screen reader is told; spoken when things have been still for a moment. */
export const liveRegion = h('div', { role: 'status', 'aria-live': 'polite', class: 'visually-hidden' })

let timer: ReturnType<typeof setTimeout> | undefined

export function announce(text: string, delay = 500): void {
  clearTimeout(timer)
  timer = setTimeout(() => {
    liveRegion.textContent = text
  }, delay)
}
