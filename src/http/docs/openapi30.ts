/**
 * The document in OpenAPI 3.0.3, for generators of clients: JSON alone, tensors of any type, no recursion, one schema for what is
 * one text, numbers with their formats. `openapi.ts` says it all; this is made of it.
 */
import type { Json } from './components.ts'

/** What generators make wrong types of, or none: each language has its own arrays, which go in as they are. */
const UNTYPED = ['Tensor', 'AnswerTensor']
const LEFT_OUT = ['NestedTensor', 'FlatTensor', 'Base64Tensor', 'ElementType', 'Shape']
/** What the server sends has no null in the place of a list. */
const ANSWER = /Answer$|^Problem$/
/** Holds no schema. */
const VALUES = new Set(['default', 'enum', 'example', 'examples', 'value'])

export function openApi30(document: Json): Json {
  const { info, paths, components, ...rest } = document as Json & {
    info: Json
    components: { schemas: Json; securitySchemes: Json }
  }
  const { summary: _summary, license, ...about } = info
  const { identifier: _identifier, ...named } = license as Json
  const schemas = Object.entries(components.schemas).flatMap(([name, schema]) => {
    if (LEFT_OUT.includes(name)) return []
    const { description } = schema as Json
    const simplified = UNTYPED.includes(name) ? { description } : plain(schema)
    return [[name, ANSWER.test(name) ? simplified : map(simplified, withNulls)]]
  })
  return {
    ...rest,
    openapi: '3.0.3',
    info: { ...about, license: named },
    paths: operations(paths as Json),
    components: { schemas: Object.fromEntries(schemas), securitySchemes: components.securitySchemes },
  }
}

/** Of two media types generators take the wrong one, or both at once. */
function operations(paths: Json): unknown {
  return map(paths, node => {
    const { content } = node as { content?: Json }
    if (content === undefined || !('application/json' in content)) return node
    return { ...node, content: { 'application/json': content['application/json'] } }
  })
}

function plain(schema: unknown): unknown {
  return map(schema, simplified)
}

/** f of every object, the inner ones first, but for values. */
function map(node: unknown, f: (node: Json) => Json): unknown {
  if (Array.isArray(node)) return node.map(each => map(each, f))
  if (typeof node !== 'object' || node === null) return node
  const members = Object.entries(node).map(([key, value]) => [key, VALUES.has(key) ? value : map(value, f)])
  return f(Object.fromEntries(members))
}

function simplified(node: Json): Json {
  const { const: only, anyOf, oneOf = anyOf, propertyNames: _names, contentEncoding, $ref, ...rest } = node
  const found: Json = rest
  if (Array.isArray(found.type)) {
    const [type] = found.type.filter(each => each !== 'null')
    Object.assign(found, { type, nullable: true })
  }
  if (only !== undefined) Object.assign(found, { type: typeof only, enum: [only] })
  if (contentEncoding === 'base64') found.format = 'byte'
  if (found.type === 'number') found.format ??= 'double'
  if (found.type === 'integer') {
    found.format = 'int64'
    // what every integer of JSON is within
    if (found.minimum === Number.MIN_SAFE_INTEGER) delete found.minimum
    if (found.maximum === Number.MAX_SAFE_INTEGER) delete found.maximum
  }
  for (const end of ['Minimum', 'Maximum'] as const) {
    const bound = found[`exclusive${end}`]
    if (typeof bound === 'number')
      Object.assign(found, { [end.toLowerCase()]: bound, [`exclusive${end}`]: true })
  }
  if ($ref !== undefined) return Object.keys(found).length === 0 ? { $ref } : { ...found, allOf: [{ $ref }] }
  return Array.isArray(oneOf) ? { ...found, ...union(oneOf as Json[]) } : found
}

/** Texts of several kinds are texts; what may be null says so; whatever else has several forms names them, without a default. */
function union(all: Json[]): Json {
  const forms = all.filter(({ type }) => type !== 'null')
  const orNull = forms.length < all.length ? { nullable: true } : {}
  if (forms.every(({ type }) => type === 'string')) return { type: 'string', ...orNull }
  if (forms.length > 1) return { oneOf: forms, default: undefined, ...orNull }
  const [form] = forms
  return '$ref' in form ? { allOf: [form], ...orNull } : { ...form, ...orNull }
}

/** Clients in some languages send null for lists and maps that are not set. */
function withNulls(node: Json): Json {
  const { properties, required } = node as { properties?: Record<string, Json>; required?: string[] }
  if (properties === undefined) return node
  const members = Object.entries(properties).map(([name, schema]) => {
    const many = schema.type === 'array' || (schema.type === 'object' && !('properties' in schema))
    const unset = many && !required?.includes(name) && !('default' in schema)
    return [name, unset ? { ...schema, nullable: true } : schema]
  })
  return { ...node, properties: Object.fromEntries(members) }
}
