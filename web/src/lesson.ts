/** What the lesson model shows first: a sentence in each language, and the head whose pronoun points at its noun. */
import { en, ko } from '../../models/lesson/lesson.json'
import { currentLanguage, type Language } from './words/language.ts'

export interface Lesson {
  sentence: string
  pronoun: string
  noun: string
  pronoun_noun: { layer: number; head: number }
}

const LESSONS: Record<Language, Lesson> = { en, ko }

/** In the language of the page. */
export function lesson(): Lesson {
  return LESSONS[currentLanguage()]
}
