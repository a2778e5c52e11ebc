/** What a model of the service has learned of sentences: where its heads point, which form it prefers, which order. */
import type { Client, Tensor } from '../../src/client/index.ts'
import type { Sentence } from './corpus.ts'
import { MASK, plain } from './vocabulary.ts'

interface Tokens {
  ids: Tensor | number[][]
  strings: string[][]
  offsets: [number, number][][]
}

interface Answer {
  tokens: Tokens
  layers: { index: number; weights: Tensor }[]
  logits: Tensor
}

/** Sends requests to one model. */
export type Ask = (request: object) => Promise<Answer>

export const askerOf =
  (client: Client, model: string): Ask =>
  request =>
    client.post<Answer>(`/v1/models/${model}/forward`, request)

export interface HeadPlace {
  layer: number
  head: number
}

const BATCH = 100
const SPECIAL = /^\[.+\]$/

export const hasPronoun = ({ marked }: Sentence) => marked.includes('_')

/** The place of a mark among the tokens of its sentence, by their offsets. */
function placeOf(marked: string, mark: string, offsets: [number, number][]): number {
  const start = plain(marked.slice(0, marked.indexOf(mark))).length
  return offsets.findIndex(([from, to]) => from === start && to > from)
}

/** Calls `see` with the answer for a sentence and its place in the batch. */
async function each(
  ask: Ask,
  sentences: Sentence[],
  request: object,
  see: (sentence: Sentence, answer: Answer, item: number) => void,
): Promise<void> {
  for (let begin = 0; begin < sentences.length; begin += BATCH) {
    const some = sentences.slice(begin, begin + BATCH)
    const answer = await ask({ text: some.map(({ marked }) => plain(marked)), ...request })
    for (const [item, sentence] of some.entries()) see(sentence, answer, item)
  }
}

/**
 * Where each head's row of the pronoun is strongest, among tokens that are neither special nor the pronoun: the share of the
 * sentences in which that is its noun, by layer and head in the order asked for.
 */
export async function pointing(
  ask: Ask,
  sentences: Sentence[],
  places: Partial<Record<'layers' | 'heads', number[]>> = {},
) {
  const hits: number[][] = []
  const some = sentences.filter(hasPronoun)
  await each(ask, some, { ...places, return: ['weights'] }, ({ marked }, { tokens, layers }, item) => {
    const [strings, offsets] = [tokens.strings[item], tokens.offsets[item]]
    const [pronoun, noun] = ['_', '*'].map(mark => placeOf(marked, mark, offsets))
    for (const [at, { weights }] of layers.entries()) {
      const [, heads, rows, keys] = weights.shape
      hits[at] ??= new Array(heads).fill(0)
      for (let head = 0; head < heads; head++) {
        const begin = ((item * heads + head) * rows + pronoun) * keys
        const row = weights.data.subarray(begin, begin + keys) as Float32Array
        hits[at][head] += Number(strongestOf(row, strings, pronoun) === noun)
      }
    }
  })
  return hits.map(row => row.map(count => count / some.length))
}

function strongestOf(row: Float32Array, strings: string[], self: number): number {
  const real = [...strings.keys()].filter(at => at !== self && !SPECIAL.test(strings[at]))
  return real.reduce((best, at) => (row[at] > row[best] ? at : best))
}

/** The share of pronouns at which the masked-word head of the model says their noun, of all words. */
export async function said(ask: Ask, sentences: Sentence[]): Promise<number> {
  const some = sentences.filter(hasPronoun)
  let hits = 0
  await each(ask, some, { return: ['logits'] }, ({ marked }, { tokens, logits }, item) => {
    const [pronoun, noun] = ['_', '*'].map(mark => placeOf(marked, mark, tokens.offsets[item]))
    const row = rowOf(logits, item, pronoun)
    hits += Number(row.indexOf(Math.max(...row)) === idsOf(tokens, item)[noun])
  })
  return hits / some.length
}

function rowOf({ shape, data }: Tensor, item: number, position: number): Float32Array {
  const [, positions, width] = shape
  const begin = (item * positions + position) * width
  return data.subarray(begin, begin + width) as Float32Array
}

/** Without padding. */
function idsOf({ ids, strings }: Tokens, item: number): number[] {
  const all = Array.isArray(ids) ? ids : (ids.nested() as number[][])
  return all[item].filter((_, at) => strings[item][at] !== '[PAD]')
}

/** Forms that differ in what they agree with. */
const PAIRS = 'was were, walk walks, run runs, come comes, 은 는, 이 가, 을 를, 갔 가셨, 왔 오셨, 앉았 앉으셨'
const OTHER = new Map(
  PAIRS.split(', ')
    .map(pair => pair.split(' '))
    .flatMap(([one, other]) => [[one, other] as const, [other, one] as const]),
)

/** The share of marked forms that are more probable behind a mask than the form that would not agree. */
export async function agreement(
  ask: Ask,
  sentences: Sentence[],
  idOf: (token: string) => number,
): Promise<number> {
  const masked: { ids: number[]; at: number; right: number; wrong: number }[] = []
  await each(ask, sentences, { return: [] }, ({ marked }, { tokens }, item) => {
    for (const { index, 1: form } of marked.matchAll(/\{(.+?)\}/g)) {
      const other = OTHER.get(form)
      if (other === undefined) continue
      const start = plain(marked.slice(0, index)).length
      const at = tokens.offsets[item].findIndex(([from, to]) => from === start && to > from)
      const piece = tokens.strings[item][at].startsWith('##') ? '##' : ''
      masked.push({ ids: idsOf(tokens, item), at, right: idOf(piece + form), wrong: idOf(piece + other) })
    }
  })
  let hits = 0
  await eachMasked(
    ask,
    masked.map(({ ids, at }) => ({ ids, places: [at] })),
    (index, [row]) => {
      hits += Number(row[masked[index].right] > row[masked[index].wrong])
    },
  )
  return hits / masked.length
}

/** Two words side by side behind masks, one pair a sentence: the share in which their own order is the more probable one. */
export async function order(ask: Ask, sentences: Sentence[]): Promise<number> {
  const masked: { ids: number[]; places: number[] }[] = []
  await each(ask, sentences, { return: [] }, (_, { tokens }, item) => {
    const ids = idsOf(tokens, item)
    const at = 1 + ((masked.length * 7) % (ids.length - 4))
    masked.push({ ids, places: [at, at + 1] })
  })
  let hits = 0
  await eachMasked(ask, masked, (index, [first, second]) => {
    const { ids, places } = masked[index]
    const [one, other] = places.map(at => ids[at])
    hits += Number(first[one] + second[other] > first[other] + second[one])
  })
  return hits / masked.length
}

/** Calls `see` with the logits at the places that were masked. */
async function eachMasked(
  ask: Ask,
  masked: { ids: number[]; places: number[] }[],
  see: (index: number, rows: Float32Array[]) => void,
): Promise<void> {
  for (let begin = 0; begin < masked.length; begin += BATCH) {
    const some = masked.slice(begin, begin + BATCH)
    const longest = Math.max(...some.map(({ ids }) => ids.length))
    const padded = (row: number[]) => [...row, ...new Array(longest - row.length).fill(0)]
    const { logits } = await ask({
      token_ids: some.map(({ ids, places }) =>
        padded(ids.map((id, at) => (places.includes(at) ? MASK : id))),
      ),
      attention_mask: some.map(({ ids }) => padded(ids.map(() => 1))),
      return: ['logits'],
    })
    for (const [item, { places }] of some.entries()) {
      see(
        begin + item,
        places.map(place => rowOf(logits, item, place)),
      )
    }
  }
}
