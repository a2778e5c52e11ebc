/** The language of the page: the reader's choice, else the browser's. */
import { recall, remember } from '../page/storage.ts'
import { english, type Words } from './english.ts'
import { korean } from './korean.ts'

export type Language = 'en' | 'ko'

const KEY = 'language'
const WORDS: Record<Language, Words> = { en: english, ko: korean }

function initial(): Language {
  const stored = recall(KEY)
  if (stored === 'en' || stored === 'ko') return stored
  return navigator.language.startsWith('ko') ? 'ko' : 'en'
}

let language = initial()
document.documentElement.lang = language

export function currentLanguage(): Language {
  return language
}

export function chooseLanguage(chosen: Language): void {
  language = chosen
  remember(KEY, chosen)
  document.documentElement.lang = chosen
}

/** The texts in the current language. */
export function say(): Words {
  return WORDS[language]
}
