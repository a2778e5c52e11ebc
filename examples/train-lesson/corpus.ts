/**
 * Writes corpus/: `node corpus.ts`. A noun in a kind of sentence (the dog where something is crossed) belongs to one part: it is
 * learned from, chosen by, or tested on, and no sentence that is learned from has a noun in a place that is not.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Draw, type Frame, Random } from './draw.ts'
import { ENGLISH, plural } from './english.ts'
import { KOREAN } from './korean.ts'

export type Language = 'en' | 'ko'
export type Part = 'train' | 'validation' | 'test'

export interface Sentence {
  language: Language
  frame: string
  /** with its marks, see draw.ts */
  marked: string
}

export const LANGUAGES: Record<Language, Record<string, Frame>> = { en: ENGLISH, ko: KOREAN }
export const PARTS: Record<Part, number> = { train: 8000, validation: 400, test: 600 }
const SEED = 15
const FOLDER = new URL('corpus/', import.meta.url)
/** Tries for a sentence of a part before its frame has no more of them. */
const MOST_TRIES = 2000

/** Of the nouns that may stand in a place of a kind of sentence a sixth are tested on, and a twelfth chosen by: others in each kind. */
function partOf(frame: number, noun: string, nouns: readonly string[]): Part {
  const place = frame + nouns.indexOf(noun)
  return place % 6 === 0 ? 'test' : place % 12 === 3 ? 'validation' : 'train'
}

/** The part whose sentence it is, if it is any's: that of the pronoun's noun, or of the first where there is no pronoun. */
function belongs({ language, frame, marked }: Sentence, { nouns, lists }: Draw): Part | undefined {
  const kind = Object.keys(LANGUAGES[language]).indexOf(frame)
  const parts = nouns.map((noun, at) => partOf(kind, noun, lists[at]))
  if (parts.every(part => part === 'train')) return 'train'
  const its = /\*(.+?)\*/.exec(marked)?.[1].toLowerCase()
  const place = nouns.findIndex(noun => its === noun || its === plural(noun))
  const part = parts[Math.max(0, place)]
  return part === 'train' ? undefined : part
}

/** In English letters and in Korean: sentences begin large, points stand at words. */
function written(text: string): string {
  return `${text} .`
    .replace(/ ([.,])/g, '$1')
    .replace(/(^|\. )([*_]?)([a-z])/g, (_, end, sign, letter) => end + sign + letter.toUpperCase())
}

function* sentencesOf(language: Language, frame: string, part: Part, random: Random): Generator<Sentence> {
  const seen = new Set<string>()
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const draw = new Draw(random)
    const sentence = { language, frame, marked: written(LANGUAGES[language][frame](draw)) }
    if (belongs(sentence, draw) !== part || seen.has(sentence.marked)) continue
    seen.add(sentence.marked)
    tries = 0
    yield sentence
  }
}

/** Sentences of a language, its frames in turn. */
function drawn(language: Language, part: Part): Sentence[] {
  const frames = Object.keys(LANGUAGES[language]).map((frame, index) =>
    sentencesOf(language, frame, part, new Random(SEED + 1000 * index + 100_000 * PARTS[part])),
  )
  const found: Sentence[] = []
  let open = frames
  while (found.length < PARTS[part] && open.length > 0) {
    open = open.filter(frame => {
      const { value } = frame.next()
      if (value && found.length < PARTS[part]) found.push(value)
      return value !== undefined
    })
  }
  return found
}

export function corpusText(part: Part): string {
  const sentences = (['en', 'ko'] as const).flatMap(language => drawn(language, part))
  return sentences.map(({ language, frame, marked }) => `${language}\t${frame}\t${marked}\n`).join('')
}

export function readCorpus(part: Part): Sentence[] {
  const lines = readFileSync(new URL(`${part}.tsv`, FOLDER), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map(line => {
    const [language, frame, marked] = line.split('\t')
    return { language: language as Language, frame, marked }
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(FOLDER, { recursive: true })
  for (const part of Object.keys(PARTS) as Part[]) {
    const text = corpusText(part)
    writeFileSync(new URL(`${part}.tsv`, FOLDER), text)
    console.log(`${part}: ${text.split('\n').length - 1} sentences, ${text.length} characters`)
  }
}
