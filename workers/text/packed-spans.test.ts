import { expect, it } from 'vitest'
import type { Span } from './json-spans.ts'
import { packSpans, unpackSpans } from './packed-spans.ts'

it('spans that were packed are unpacked as they were', () => {
  const spans: Span[] = [
    { kind: 'numbers', element: 'number', shape: [2, 3], count: 6, start: 4, end: 40, marks: [4, 0, 20, 3] },
    { kind: 'numbers', element: 'boolean', shape: [0], count: 0, start: 41, end: 43, marks: [41, 0] },
    { kind: 'text', start: 50, end: 4_000_000_000, escaped: true, characters: 3_999_999_900, marks: [9, 8] },
    { kind: 'text', start: 60, end: 70, escaped: false, characters: 10, marks: [] },
    { kind: 'huge', start: 71, end: 77 },
  ]
  expect(unpackSpans(packSpans(spans))).toEqual(spans)
  expect(unpackSpans(packSpans([]))).toEqual([])
})

it('of a span with very many marks all are there', () => {
  const marks = Array.from({ length: 300_000 }, (_, index) => index)
  const [span] = unpackSpans(
    packSpans([{ kind: 'text', start: 1, end: 2, escaped: true, characters: 1, marks }]),
  )
  expect(span).toMatchObject({ marks })
})
