/**
 * The document in OpenAPI 3.0.3, for generators of clients: JSON alone, tensors of any type, no recursion, one schema for what is
 * one text, numbers with their formats. `openapi.ts` says it all; this is made of it.
 */
import type { Json } from './components.ts'
import { withoutSafeBounds } from './named.ts'

/** What generators make wrong types of, or none: each language has its own arrays, which go in as they are. */
const UNTYPED = ['Tensor', 'AnswerTensor']
const LEFT_OUT = [
  'NestedTensor',
  'NestedElement',
  'Element',
  'FlatTensor',
  'Base64Tensor',
  'ElementType',
  'Shape',
]
const RARELY_SENT = ['Want-Repr-Digest', 'Last-Event-ID']
/** Holds no schema. */
const VALUES = new Set(['default', 'enum', 'example', 'examples', 'value'])

export function openApi30(document: Json): Json {
  const { info, paths, components, ...rest } = document as Json & {
    info: Json
    components: { schemas: Record<string, Json> }
  }
  const { summary: _summary, license, ...about } = info
  const { identifier: _identifier, ...named } = license as Json
  const schemas = Object.entries(components.schemas).flatMap(([name, schema]) => {
    if (LEFT_OUT.includes(name)) return []
    const { description } = schema
    return [
      [
        name,
        UNTYPED.includes(name) ? { description } : plain(withoutSafeBounds(schema), components.schemas),
      ] as const,
    ]
  })
  const plainPaths = operations(paths as Json)
  return {
    ...rest,
    openapi: '3.0.3',
    info: { ...about, license: { ...named, url: 'https://www.apache.org/licenses/LICENSE-2.0' } },
    paths: plainPaths,
    components: { ...components, schemas: used(plainPaths, Object.fromEntries(schemas)) },
  }
}

/** What names the paths reach: some are of unions that have become one text. */
function used(paths: unknown, schemas: Json): Json {
  const found = new Set<string>()
  const visit = (node: unknown) => {
    for (const [, name] of JSON.stringify(node).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (found.has(name)) continue
      found.add(name)
      visit(schemas[name])
    }
  }
  visit(paths)
  return Object.fromEntries(Object.entries(schemas).filter(([name]) => found.has(name)))
}

/** Of two media types generators take the wrong one, or both at once; a header that few send is an argument of every call. */
function operations(paths: Json): unknown {
  return map(paths, ({ parameters, headers, ...node }) => {
    const found: Json = { ...node }
    if (node[101] !== undefined) return withoutBodies(node)
    const { content } = node as { content?: Json }
    if (content !== undefined && 'application/json' in content) {
      found.content = { 'application/json': content['application/json'] }
    }
    // events, which few read as they come
    if (content !== undefined && 'text/event-stream' in content) delete found.content
    const sent = (parameters as Json[] | undefined)?.filter(({ name }) => !RARELY_SENT.includes(String(name)))
    if (sent !== undefined && sent.length > 0) found.parameters = sent
    const { 'Repr-Digest': _, ...got } = (headers ?? {}) as Json
    if (Object.keys(got).length > 0) found.headers = got
    return found
  })
}

/** Of a handshake: generators in Rust compile none that may end in a body. */
function withoutBodies(responses: Json): Json {
  const entries = Object.entries(responses).map(([status, response]) => {
    const { description } = response as Json
    return [status, { description }]
  })
  return Object.fromEntries(entries)
}

function plain(schema: unknown, schemas: Record<string, Json>): unknown {
  const named: Named = ({ $ref, allOf = [{ $ref }] }) => {
    const [{ $ref: target }] = allOf as Json[]
    return schemas[String(target).replace(/.*\//, '')] ?? {}
  }
  return map(schema, node => simplified(node, named))
}

/** f of every object, the inner ones first, but for values. */
function map(node: unknown, f: (node: Json) => Json): unknown {
  if (Array.isArray(node)) return node.map(each => map(each, f))
  if (typeof node !== 'object' || node === null) return node
  const members = Object.entries(node).map(([key, value]) => [key, VALUES.has(key) ? value : map(value, f)])
  return f(Object.fromEntries(members))
}

/** The schema that a form names, as it is in the newer document. */
type Named = (form: Json) => Json

function simplified(node: Json, named: Named): Json {
  const { const: only, anyOf, oneOf = anyOf, propertyNames: _names, contentEncoding, $ref, ...rest } = node
  const found: Json = rest
  if (Array.isArray(found.type)) {
    const [type] = found.type.filter(each => each !== 'null')
    Object.assign(found, { type, nullable: true })
  }
  if (only !== undefined) Object.assign(found, { type: typeof only, enum: [only] })
  if (contentEncoding === 'base64') found.format = 'byte'
  if ($ref !== undefined) return Object.keys(found).length === 0 ? { $ref } : { ...found, allOf: [{ $ref }] }
  // texts of several kinds are texts
  if (found.type === 'string') return found
  if (!Array.isArray(oneOf)) return found
  // objects that nothing tells apart but their members
  if (found.discriminator === undefined && oneOf.filter(form => named(form).type === 'object').length > 1)
    return { description: found.description }
  return { ...found, ...union(oneOf as Json[], named) }
}

/** Texts of several kinds are texts; what may be null says so; whatever else has several forms names them, without a default. */
function union(all: Json[], named: Named): Json {
  const forms = all.filter(({ type }) => type !== 'null')
  const orNull = forms.length < all.length ? { nullable: true } : {}
  if (forms.every(({ type }) => type === 'string')) return { type: 'string', ...orNull }
  // what may be of any type is not told apart from the others
  if (forms.some(({ $ref }) => UNTYPED.includes(String($ref).replace(/.*\//, '')))) return {}
  // Java writes a list among others as a class, which it is not
  const isList = ({ type }: Json) => type === 'array'
  const mayBeList = (form: Json) => isList(form) || formsOf(named(form)).some(isList)
  if (forms.length > 1 && forms.some(mayBeList)) return {}
  if (forms.length > 1) return { oneOf: forms.map(bare), default: undefined, ...orNull }
  const [form] = forms
  // what is nullable has a type: a number that may be a text, or null, is anything
  if (form.type === undefined && named(form).type !== 'object') return {}
  const whole = '$ref' in form ? { allOf: [form] } : form
  return { type: 'object', ...whole, ...orNull }
}

function formsOf({ anyOf, oneOf = anyOf }: Json): Json[] {
  return (oneOf ?? []) as Json[]
}

/** A member of a union is named, or is what it is: what is said of it beside its name some generators take for a type. */
function bare(form: Json): Json {
  return Array.isArray(form.allOf) && form.allOf.length === 1 ? form.allOf[0] : form
}
