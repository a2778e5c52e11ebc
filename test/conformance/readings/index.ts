/** The operators that are read. One more is a file beside these and a line here. */
import { attention } from './attention.ts'
import { linearAttention } from './linear-attention.ts'
import { layerNormalization, rmsNormalization } from './normalisation.ts'
import type { Reading } from './reading.ts'
import { rotaryEmbedding } from './rotary-embedding.ts'

const READINGS = [attention, linearAttention, rotaryEmbedding, rmsNormalization, layerNormalization]

export function readingOf(operator: string): Reading {
  const reading = READINGS.find(each => each.operator === operator)
  if (reading === undefined) throw new Error(`no reading of ${operator}`)
  return reading
}
