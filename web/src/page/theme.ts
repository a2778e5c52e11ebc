/** Light or dark: the system's choice, unless the reader made one. */
import { recall, remember } from './storage.ts'

const KEY = 'theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const watchers = new Set<() => void>()

export type Theme = 'light' | 'dark'

export function theme(): Theme {
  const chosen = document.documentElement.dataset.theme
  if (chosen === 'light' || chosen === 'dark') return chosen
  return system.matches ? 'dark' : 'light'
}

export function chooseTheme(chosen: Theme): void {
  document.documentElement.dataset.theme = chosen
  remember(KEY, chosen)
  for (const watcher of watchers) watcher()
}

export function watchTheme(watcher: () => void): () => void {
  watchers.add(watcher)
  return () => void watchers.delete(watcher)
}

const stored = recall(KEY)
if (stored === 'light' || stored === 'dark') document.documentElement.dataset.theme = stored
system.addEventListener('change', () => {
  for (const watcher of watchers) watcher()
})
