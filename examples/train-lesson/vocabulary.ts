/** The vocabulary, and tokenizer.json: English words, and in Korean nouns and stems apart from the particles and endings behind them. */
import { readCorpus, type Sentence } from './corpus.ts'
import { NOUNS } from './korean.ts'

export const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
export const [PAD, UNK, CLS, SEP, MASK] = SPECIAL.keys()

/** What stands behind a Korean noun, and behind the stem of a verb. */
const PARTICLES = /^(들)?(은|는|이|가|을|를|에서|에게|께서|에|이다)?$/
const ENDINGS = /(다|기)$/

/** The letters of a marked sentence without its marks. */
export const plain = (marked: string) => marked.replace(/[*_{}]/g, '')

/** Words and points, in small letters, as the tokenizer sees them before it looks for pieces. */
export const wordsOf = (text: string) =>
  text
    .normalize('NFC')
    .toLowerCase()
    .match(/[.,!?]|[^\s.,!?]+/g) ?? []

/** A Korean noun, 들 and a particle; or the stem of a verb and its ending; or the word as it is. */
function piecesOf(word: string): string[] {
  for (let end = word.length; end > 0; end--) {
    const pieces = PARTICLES.exec(word.slice(end))
    if (!NOUNS.has(word.slice(0, end)) || pieces === null) continue
    return [word.slice(0, end), ...pieces.slice(1).filter(piece => piece !== undefined)]
  }
  const stem = word.replace(ENDINGS, '')
  return stem === word || stem === '' ? [word] : [stem, word.slice(stem.length)]
}

/** Every piece of the corpus, those with ## behind others; the first ones are special. */
export function vocabularyOf(sentences: Sentence[]): string[] {
  const found = new Set([...SPECIAL, '.', ',', '!', '?'])
  for (const { language, marked } of sentences) {
    for (const word of wordsOf(plain(marked))) {
      const [first, ...rest] = language === 'ko' ? piecesOf(word) : [word]
      found.add(first)
      for (const piece of rest) found.add(`##${piece}`)
    }
  }
  return [...found]
}

export class Tokenizer {
  readonly vocabulary: string[]
  readonly #ids: Map<string, number>

  constructor(vocabulary = vocabularyOf(readCorpus('train'))) {
    this.vocabulary = vocabulary
    this.#ids = new Map(vocabulary.map((token, id) => [token, id]))
  }

  id(token: string): number {
    return this.#ids.get(token) ?? UNK
  }

  /** WordPiece: the longest piece each time, or [UNK] for a word that has no pieces. Without special tokens. */
  encode(text: string): number[] {
    return wordsOf(text).flatMap(word => {
      const ids: number[] = []
      for (let at = 0; at < word.length; ) {
        let end = word.length
        while (end > at && !this.#ids.has((at > 0 ? '##' : '') + word.slice(at, end))) end--
        if (end === at) return [UNK]
        ids.push(this.id((at > 0 ? '##' : '') + word.slice(at, end)))
        at = end
      }
      return ids
    })
  }

  /** As the tokenizers library reads it. */
  file(): object {
    const token = (content: string, id: number) => {
      return {
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      }
    }
    const special = (name: string) => ({ SpecialToken: { id: name, type_id: 0 } })
    const sequence = (id: 'A' | 'B', type_id: number) => ({ Sequence: { id, type_id } })
    const split = (Regex: string, behavior: string) => ({
      type: 'Split',
      pattern: { Regex },
      behavior,
      invert: false,
    })
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: SPECIAL.map(token),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFC' },
          { type: 'Lowercase' },
          { type: 'Replace', pattern: { String: '’' }, content: "'" },
        ],
      },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [split('\\s+', 'Removed'), split('[.,!?]', 'Isolated')],
      },
      post_processor: {
        type: 'TemplateProcessing',
        single: [special('[CLS]'), sequence('A', 0), special('[SEP]')],
        pair: [special('[CLS]'), sequence('A', 0), special('[SEP]'), sequence('B', 1), special('[SEP]')],
        special_tokens: Object.fromEntries(
          SPECIAL.slice(CLS, SEP + 1).map((id, at) => [id, { id, ids: [CLS + at], tokens: [id] }]),
        ),
      },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(this.#ids),
      },
    }
  }
}
