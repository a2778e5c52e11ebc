/** The JSON scanner beside `JSON.parse`: the same texts are JSON, and they say the same. */
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readScan } from '../support/read-scan.ts'
import { scan, shared } from '../support/text-memory.ts'
import { edited, edits, jsonText, repeatsKeys } from './json-text.ts'
import { runs } from './runs.ts'

const corpus: string[] = JSON.parse(readFileSync(new URL('corpus/json-texts.json', import.meta.url), 'utf8'))

/** Refused for what it means, not for its grammar: a pointer, or the end of what the scanner takes, says so. */
const MEANING = /got two|more|longer|8 axes|64 levels/

/**
 * Keys with a backslash in them. Once V8 14.6 has read {"a":0,"\\":1}, it takes the second key of {"a":0,"\n":1} for a
 * backslash too: it compares the key that it expects with the text as it is written.
 */
const CONFUSES_V8 = /\\\\(?:[^"\\]|\\.)*"\s*:/

/** Both sides as plain objects without prototypes, which `toEqual` does not tell apart. */
function expectSame(text: string): void {
  if (CONFUSES_V8.test(text)) return
  const bytes = shared(text)
  const found = scan(bytes)
  let right: unknown
  try {
    right = JSON.parse(text)
  } catch {
    expect(found.ok, `accepted ${JSON.stringify(text)}`).toBe(false)
    return
  }
  if (found.ok) expect(readScan(bytes, found), JSON.stringify(text)).toEqual(right)
  else if (!found.fault.tensor) expect(found.fault.message, JSON.stringify(text)).toMatch(MEANING)
  else if (!repeatsKeys(text))
    expect(found.fault.pointer, JSON.stringify(text)).toSatisfy(pointer => resolves(right, pointer as string))
}

function resolves(value: unknown, pointer: string): boolean {
  let node = value
  for (const key of pointer.split('/').slice(1)) {
    if (typeof node !== 'object' || node === null) return false
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~')
    if (!Object.hasOwn(node, name)) return false
    node = (node as Record<string, unknown>)[name]
  }
  return true
}

describe('JSON', () => {
  it.each(corpus.map(text => [text]))('%j', text => expectSame(text))

  it('of the grammar', () => {
    fc.assert(fc.property(jsonText, expectSame), runs(1))
  })

  it('with something changed', () => {
    const nearly = fc.tuple(fc.oneof(jsonText, fc.constantFrom(...corpus)), edits)
    fc.assert(
      fc.property(nearly, ([text, all]) => expectSame(edited(text, all))),
      runs(1),
    )
  })
})
