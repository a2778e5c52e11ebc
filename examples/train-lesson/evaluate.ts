/**
 * Measures the lesson model through a running service and writes lesson.json beside it: `node evaluate.ts [server] [--model NAME]
 * [--out FILE]`. The heads are chosen on the sentences of validation, and measured on those of the test.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Client } from '../../src/client/index.ts'
import { type Language, readCorpus } from './corpus.ts'
import { agreement, askerOf, hasPronoun, order, pointing, said } from './measure.ts'
import { Tokenizer } from './vocabulary.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string', default: 'lesson' }, out: { type: 'string' } },
})
const ask = askerOf(new Client(positionals[0] ?? 'http://127.0.0.1:8080'), values.model)
const tokenizer = new Tokenizer()
/** What is shown first; the test has none of their nouns in such a sentence among what was learned from. */
const SHOWN: Record<Language, { sentence: string; pronoun: string; noun: string }> = {
  en: {
    sentence: 'The animal did not cross the street because it was too tired.',
    pronoun: 'it',
    noun: 'animal',
  },
  ko: {
    sentence: '그 동물은 길을 건너지 않았다. 그것은 너무 피곤했기 때문이다.',
    pronoun: '그것',
    noun: '동물',
  },
}

const rounded = (share: number) => Math.round(share * 1e4) / 1e4
const partsOf = (language: Language) =>
  (['validation', 'test'] as const).map(part => readCorpus(part).filter(each => each.language === language))

const found: Record<string, object> = {}
for (const language of ['en', 'ko'] as const) {
  const [validation, test] = partsOf(language)
  const shares = await pointing(ask, validation)
  const measured = await pointing(ask, test)
  const all = shares.flatMap((row, layer) => row.map((share, head) => ({ layer, head, share })))
  const { layer, head, share } = all.sort((a, b) => b.share - a.share)[0]
  for (const [at, row] of measured.entries())
    console.log(`${language} layer ${at}, test: ${row.map(each => each.toFixed(3)).join(' ')}`)
  const frames = Map.groupBy(test.filter(hasPronoun), ({ frame }) => frame)
  for (const [frame, sentences] of frames) {
    const [[of]] = await pointing(ask, sentences, { layers: [layer], heads: [head] })
    console.log(`  ${frame} ${of.toFixed(3)}`)
  }
  found[language] = {
    ...SHOWN[language],
    pronoun_noun: { layer, head, validation: rounded(share), test: rounded(measured[layer][head]) },
    test: {
      sentences: test.length,
      pronouns: test.filter(hasPronoun).length,
      says_noun: rounded(await said(ask, test)),
      agreement: rounded(await agreement(ask, test, token => tokenizer.id(token))),
      order: rounded(await order(ask, test)),
    },
  }
}
const text = JSON.stringify(found, undefined, 2)
console.log(text)
if (values.out !== undefined) writeFileSync(values.out, `${text}\n`)
