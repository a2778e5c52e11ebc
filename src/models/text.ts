/** Texts of a request → tokens, padded on the right to the longest. */
import { bothProblem, fieldProblem } from '../problem.ts'
import type { ModelPlan } from './plan.ts'
import { refuseLength } from './token-ids.ts'
import type { ModelTokenizer } from './tokenizer.ts'
import type { Tokens } from './tokens.ts'

export interface GivenText {
  text: string | string[]
  text_pair?: string | string[] | undefined
  add_special_tokens: boolean
  truncate: boolean
  attention_mask?: unknown
  token_type_ids?: unknown
}

/** `least`: to which length they are padded where none is longer. */
export async function tokensOfText(
  given: GivenText,
  plan: ModelPlan,
  tokenizer: ModelTokenizer,
  least = 0,
): Promise<Tokens> {
  for (const name of ['attention_mask', 'token_type_ids'] as const) {
    if (given[name] !== undefined) throw bothProblem('', 'text', name)
  }
  const texts = listOf(given.text)
  const pairs = given.text_pair === undefined ? undefined : listOf(given.text_pair)
  if (pairs !== undefined && pairs.length !== texts.length) {
    const message = `expected ${texts.length} texts, as many as in text, got ${pairs.length}`
    throw fieldProblem('INVALID_REQUEST', '/text_pair', message)
  }
  const encoded = await tokenizer.encode({
    texts: texts.map((text, index) => (pairs === undefined ? [text] : [text, pairs[index]])),
    addSpecialTokens: given.add_special_tokens,
    most: given.truncate ? plan.maxLength : undefined,
  })
  for (const [index, { ids }] of encoded.entries()) {
    const pointer = Array.isArray(given.text) ? `/text/${index}` : '/text'
    refuseLength(pointer, ids.length, plan)
    if (ids.length === 0)
      throw fieldProblem('INVALID_REQUEST', pointer, 'expected a text of at least one token, got none')
  }
  return together(encoded, plan, tokenizer, least)
}

function listOf(text: string | string[]): string[] {
  return Array.isArray(text) ? text : [text]
}

type Encoded = Awaited<ReturnType<ModelTokenizer['encode']>>

function together(
  encoded: Encoded,
  { spec, checkpoint, weights }: ModelPlan,
  tokenizer: ModelTokenizer,
  least: number,
): Tokens {
  const batch = encoded.length
  const positions = Math.max(least, ...encoded.map(({ ids }) => ids.length))
  const [padding = 0] = checkpoint.config.ids('pad_token_id')
  const count = batch * positions
  const ids = new Int32Array(count).fill(padding)
  const real = new Int32Array(count)
  const special = new Uint8Array(count).fill(1)
  const types = weights.get('embeddings.types')?.shape[0] ?? 1
  const kinds = spec.embeddings.types ? new Int32Array(count) : undefined
  const name = tokenizer.nameOf(padding)
  const strings: string[][] = []
  const offsets: [number, number][][] = []
  for (const [b, item] of encoded.entries()) {
    const { length } = item.ids
    const most = item.ids.find(id => id >= spec.sizes.vocabulary)
    if (most !== undefined) {
      throw fieldProblem(
        'INVALID_REQUEST',
        '/text',
        `expected tokens below the model's vocabulary, got ${most}`,
      )
    }
    ids.set(item.ids, b * positions)
    special.set(item.special, b * positions)
    real.fill(1, b * positions, b * positions + length)
    kinds?.set(
      item.types.map(type => Math.min(type, types - 1)),
      b * positions,
    )
    const missing = positions - length
    strings.push([...item.ids.map(id => tokenizer.nameOf(id)), ...new Array<string>(missing).fill(name)])
    offsets.push([...item.offsets, ...new Array<[number, number]>(missing).fill([0, 0])])
  }
  return { batch, positions, ids, real, special, kinds, strings, offsets }
}
