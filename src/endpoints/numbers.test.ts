/** Every number that a client may choose has an end, and the documents say which. */
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { ENDPOINTS } from './index.ts'
import { CLIENT_MESSAGES } from './stream-messages.ts'

type Node = Record<string, unknown>

/** The places of all numbers in a schema that lack a least or a most. */
function endless(schema: unknown, path = ''): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const node = schema as Node
  const isNumber = node.type === 'integer' || node.type === 'number'
  const least = node.minimum ?? node.exclusiveMinimum
  const most = node.maximum ?? node.exclusiveMaximum
  const isBounded =
    least !== undefined &&
    most !== undefined &&
    // an integer without a bound of its own ends where float64 can no longer count; seeds alone may go that far
    (node.type === 'number' || Number(most) < Number.MAX_SAFE_INTEGER || path.endsWith('/seed'))
  const own = isNumber && !isBounded ? [path] : []
  return own.concat(Object.entries(node).flatMap(([key, below]) => endless(below, `${path}/${key}`)))
}

const jsonSchema = (schema: z.ZodType) => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })

describe('numbers have a least and a most', () => {
  it.each(ENDPOINTS.map(endpoint => [endpoint.path, endpoint] as const))('%s', (_path, endpoint) => {
    expect(endless(jsonSchema(endpoint.request))).toEqual([])
    expect(endless(jsonSchema(endpoint.shapes))).toEqual([])
  })

  it.each(Object.entries(CLIENT_MESSAGES))('%s', (_type, message) => {
    expect(endless(jsonSchema(message))).toEqual([])
  })

  it('of a schema that has none they are named', () => {
    const open = z.object({ a: z.int(), b: z.object({ seed: z.int().min(0), c: z.number().max(1) }) })
    expect(endless(jsonSchema(open))).toEqual(['/properties/a', '/properties/b/properties/c'])
  })
})
