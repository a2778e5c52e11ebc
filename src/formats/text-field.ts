/** Texts in requests. Long ones are only located when the body is scanned; here they are read. */
import { isUtf8 } from 'node:buffer'
import * as z from 'zod'
import { name, TextSpan } from './tensor.ts'

const MOST_TEXTS = 4096

/** The component of this name is written by hand. */
const anyText = z.unknown().meta({ id: 'Text' })

/** A string, or a list of strings. */
export function textField() {
  return anyText.transform((value, context): string | string[] => {
    const wrong = (message: string, path: number[] = []) => {
      context.issues.push({ code: 'custom', message, path, input: undefined })
      return z.NEVER
    }
    if (!Array.isArray(value))
      return textOf(value) ?? wrong(`expected a string or a list of strings, got ${name(value)}`)
    if (value.length === 0) return wrong('expected at least one text, got none')
    if (value.length > MOST_TEXTS) return wrong(`expected at most ${MOST_TEXTS} texts, got ${value.length}`)
    const texts: string[] = []
    for (const [index, item] of value.entries()) {
      const text = textOf(item)
      if (text === undefined) return wrong(`expected a string, got ${name(item)}`, [index])
      texts.push(text)
    }
    return texts
  })
}

/** Undefined where it is no text. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (!(value instanceof TextSpan)) return undefined
  const { start, end } = value.span
  const text = Buffer.from(value.bytes.subarray(start - 1, end + 1))
  return isUtf8(text) ? JSON.parse(text.toString('utf8')) : undefined
}
