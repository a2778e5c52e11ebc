/** What the lesson model shows first: a sentence in each language, and the head whose pronoun points at its noun. */
import { currentLanguage, type Language } from './words/language.ts'

export interface Lesson {
  sentence: string
  pronoun: string
  noun: string
  pronoun_noun: { layer: number; head: number }
}

const LESSONS: Record<Language, Lesson> = {
  en: {
    sentence: 'The animal did not cross the street because it was too tired.',
    pronoun: 'it',
    noun: 'animal',
    pronoun_noun: { layer: 2, head: 0 },
  },
  ko: {
    sentence: '그 동물은 길을 건너지 않았다. 그것은 너무 피곤했기 때문이다.',
    pronoun: '그것',
    noun: '동물',
    pronoun_noun: { layer: 2, head: 0 },
  },
}

/** In the language of the page. */
export function lesson(): Lesson {
  return LESSONS[currentLanguage()]
}
