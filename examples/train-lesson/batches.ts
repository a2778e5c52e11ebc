/** Sentences as batches of ids with what is to be said where: masked words, and at a pronoun its noun. */
import type { Sentence } from './corpus.ts'
import type { Random } from './draw.ts'
import { CLS, MASK, PAD, plain, SEP, type Tokenizer, UNK } from './vocabulary.ts'

export interface Marked {
  ids: number[]
  /** places among the ids; −1 where there is none */
  pronoun: number
  noun: number
  /** ids of all words that stand in sentences of its kind */
  words: number[]
}

export interface Target {
  /** of the batch's [sentences, positions] */
  row: number
  id: number
  /** its share in the loss */
  weight: number
  kind: 'noun' | 'word'
  /** ids that it may be; all where there are none */
  among?: number[]
}

export interface Batch {
  /** [sentences, positions] */
  ids: Int32Array
  lengths: number[]
  positions: number
  targets: Target[]
}

const MASKED = 0.15
const UNKNOWN = 0.08

/** With [CLS] and [SEP]; the marks become places. */
export function tokensOf(sentences: Sentence[], tokenizer: Tokenizer): Marked[] {
  const words = new Map<string, Set<number>>()
  const found = sentences.map(({ language, frame, marked }) => {
    const ids = tokenizer.encode(plain(marked))
    const placeOf = (mark: RegExp) => {
      const at = mark.exec(marked)?.index
      return at === undefined ? -1 : 1 + tokenizer.encode(plain(marked.slice(0, at))).length
    }
    const kind = `${language} ${frame}`
    words.set(kind, (words.get(kind) ?? new Set()).union(new Set(ids)))
    return { ids: [CLS, ...ids, SEP], pronoun: placeOf(/_/), noun: placeOf(/\*/), kind }
  })
  const lists = new Map([...words].map(([kind, ids]) => [kind, [...ids]]))
  return found.map(({ kind, ...each }) => ({ ...each, words: lists.get(kind) ?? [] }))
}

/** Half of the sentences that have a pronoun ask for its noun, and all others for masked words. */
export function batchOf(sentences: Marked[], random: Random): Batch {
  const positions = Math.max(...sentences.map(({ ids }) => ids.length))
  const ids = new Int32Array(sentences.length * positions).fill(PAD)
  const targets: Target[] = []
  for (const [index, sentence] of sentences.entries()) {
    const asksNoun = sentence.pronoun > 0 && random.happens(0.5)
    const begin = index * positions
    ids.set(sentence.ids, begin)
    if (asksNoun) {
      const id = sentence.ids[sentence.noun]
      targets.push({ row: begin + sentence.pronoun, id, weight: 0, kind: 'noun', among: sentence.words })
    }
    for (let at = 1; at < sentence.ids.length - 1; at++) {
      if (asksNoun) {
        const isNeeded = at === sentence.pronoun || at === sentence.noun
        if (!isNeeded && random.happens(UNKNOWN)) ids[begin + at] = UNK
      } else if (random.happens(MASKED)) {
        targets.push({ row: begin + at, id: sentence.ids[at], weight: 0, kind: 'word' })
        ids[begin + at] = MASK
      }
    }
  }
  const count = (kind: Target['kind']) => targets.filter(target => target.kind === kind).length
  const shares = { noun: 1 / count('noun'), word: 1 / count('word') }
  for (const target of targets) target.weight = shares[target.kind]
  return { ids, lengths: sentences.map(each => each.ids.length), positions, targets }
}
