/** Spans as one list of words: to clone thousands of small objects takes the thread that receives them longer than to read these. */
import type { Span } from './json-spans.ts'

const KINDS = ['numbers', 'text', 'huge'] as const
const ELEMENTS = ['number', 'boolean'] as const

/** In turn: kind, start, end, the other numbers of the kind, and its lists behind their lengths. */
export function packSpans(spans: readonly Span[]): Uint32Array<ArrayBuffer> {
  const words: number[] = []
  for (const span of spans) {
    words.push(KINDS.indexOf(span.kind), span.start, span.end)
    if (span.kind === 'numbers') {
      words.push(ELEMENTS.indexOf(span.element), span.count)
      pushList(words, span.shape)
      pushList(words, span.marks)
    } else if (span.kind === 'text') {
      words.push(Number(span.escaped), span.characters)
      pushList(words, span.marks)
    }
  }
  return Uint32Array.from(words)
}

export function unpackSpans(words: Uint32Array): Span[] {
  const spans: Span[] = []
  let at = 0
  const list = (): number[] => {
    const length = words[at++]
    const items: number[] = []
    for (let index = 0; index < length; index++) items.push(words[at++])
    return items
  }
  while (at < words.length) {
    const kind = KINDS[words[at++]]
    const start = words[at++]
    const end = words[at++]
    if (kind === 'numbers') {
      const element = ELEMENTS[words[at++]]
      const count = words[at++]
      spans.push({ kind, element, shape: list(), count, start, end, marks: list() })
    } else if (kind === 'text') {
      const escaped = words[at++] === 1
      const characters = words[at++]
      spans.push({ kind, start, end, escaped, characters, marks: list() })
    } else spans.push({ kind, start, end })
  }
  return spans
}

/** One by one: there may be more than a call takes arguments. */
function pushList(words: number[], list: readonly number[]): void {
  words.push(list.length)
  for (const item of list) words.push(item)
}
