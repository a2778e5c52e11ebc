/** The page's head: its name, its views, and how it is shown. */
import { say } from '../words/language.ts'
import { VIEWS, type ViewName } from './address.ts'
import { h } from './dom.ts'
import { theme } from './theme.ts'

export interface HeaderState {
  view: ViewName
  tables: boolean
  onTables(): void
  onTheme(): void
  onLanguage(): void
}

export function header({ view, tables, onTables, onTheme, onLanguage }: HeaderState): HTMLElement {
  const words = say()
  const links = VIEWS.map(name =>
    h(
      'a',
      { href: `#${name}`, 'aria-current': name === view ? 'page' : undefined, 'data-view': name },
      words[name],
    ),
  )
  return h(
    'header',
    { class: 'page-head' },
    h('div', { class: 'brand' }, h('h1', {}, 'attention-server'), h('p', {}, words.tagline)),
    h('nav', { 'aria-label': words.navigation }, ...links, h('a', { href: 'docs' }, words.documentation)),
    h(
      'div',
      { class: 'display' },
      h(
        'button',
        {
          type: 'button',
          id: 'tables',
          class: 'button',
          'aria-pressed': String(tables),
          title: words.tablesHint,
          onclick: onTables,
        },
        words.tables,
      ),
      h(
        'button',
        {
          type: 'button',
          id: 'theme',
          class: 'button icon',
          'aria-label': theme() === 'dark' ? words.themeToLight : words.themeToDark,
          title: theme() === 'dark' ? words.themeToLight : words.themeToDark,
          onclick: onTheme,
        },
        h('span', { class: 'half-moon', 'aria-hidden': 'true' }),
      ),
      h(
        'button',
        {
          type: 'button',
          id: 'language',
          class: 'button',
          lang: words.otherLanguage === '한국어' ? 'ko' : 'en',
          onclick: onLanguage,
        },
        words.otherLanguage,
      ),
    ),
  )
}
