/**
 * Writes the types of the package's own client from the documents, or with --check says whether they are up to date:
 * `node scripts/client-types.ts`. Where the documents have a tensor, the client has its own.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface Schema {
  $ref?: string
  type?: string | string[]
  description?: string
  enum?: unknown[]
  const?: unknown
  items?: Schema
  prefixItems?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  oneOf?: Schema[]
  anyOf?: Schema[]
}

interface Operation {
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

/** What the client has instead: any of its forms in a request, its own in an answer. */
const OWN: Record<string, string> = { Tensor: 'TensorLike', AnswerTensor: 'Tensor' }
const LEFT_OUT = ['NestedTensor', 'NestedElement', 'Element', 'FlatTensor', 'Base64Tensor', 'ElementType']
const HEADER = `// Written by scripts/client-types.ts from openapi/FILE: npm run openapi.
import type { Tensor, TensorLike } from './tensor-like.ts'

`

const PLAIN: Record<string, string> = {
  integer: 'number',
  number: 'number',
  string: 'string',
  boolean: 'boolean',
  null: 'null',
}

function nameOf($ref: string): string {
  const name = $ref.slice($ref.lastIndexOf('/') + 1)
  return OWN[name] ?? name
}

function typeOf(schema: Schema, indent: string): string {
  const { $ref, oneOf, anyOf = oneOf, enum: values, type, items, properties, additionalProperties } = schema
  if ($ref !== undefined) return nameOf($ref)
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (values !== undefined) return values.map(value => JSON.stringify(value)).join(' | ')
  if (anyOf !== undefined) {
    // a text by a pattern is any text
    const types = new Set(anyOf.map(each => typeOf(each, indent)))
    return [...types].join(' | ')
  }
  if (properties !== undefined) return objectOf(schema, indent)
  const found = [type].flat().map(each => {
    if (each === 'array') return items === undefined ? 'unknown[]' : `(${typeOf(items, indent)})[]`
    if (each !== 'object') return PLAIN[each ?? ''] ?? 'unknown'
    const of = typeof additionalProperties === 'object' ? typeOf(additionalProperties, indent) : 'unknown'
    return `Record<string, ${of}>`
  })
  return found.join(' | ')
}

function objectOf({ properties = {}, required = [] }: Schema, indent: string): string {
  const inner = `${indent}  `
  const lines = Object.entries(properties).flatMap(([name, schema]) => {
    const told = schema.description?.replaceAll('*/', '* /').replaceAll('\n', ' ')
    const optional = required.includes(name) ? '' : '?'
    const key = /^\w+$/.test(name) ? name : JSON.stringify(name)
    const member = `${inner}${key}${optional}: ${typeOf(schema, inner)}`
    return told === undefined ? [member] : [`${inner}/** ${told} */`, member]
  })
  return `{\n${lines.join('\n')}\n${indent}}`
}

function typesOf(schemas: Record<string, Schema>): string {
  return Object.entries(schemas)
    .filter(([name]) => !LEFT_OUT.includes(name) && !(name in OWN))
    .map(([name, schema]) => `export type ${name} = ${typeOf(schema, '')}\n`)
    .join('\n')
}

/** Every path that takes a named request, with it and its answer. */
function endpointsOf(paths: Document['paths']): string {
  const lines = Object.entries(paths).flatMap(([path, { post }]) => {
    const request = post?.requestBody?.content['application/json']?.schema
    const answer = Object.entries(post?.responses ?? {}).find(([status]) => status.startsWith('2'))?.[1]
    const schema = answer?.content?.['application/json']?.schema
    if (request?.$ref === undefined || schema?.$ref === undefined || path.includes('{')) return []
    return [`  '${path}': { request: ${nameOf(request.$ref)}; answer: ${nameOf(schema.$ref)} }`]
  })
  return `/** What every path takes and gives. */\nexport interface Endpoints {\n${lines.join('\n')}\n}\n`
}

function read(file: string): Document {
  return JSON.parse(readFileSync(new URL(`../openapi/${file}`, import.meta.url), 'utf8'))
}

const openapi = read('openapi.json')
const asyncapi = read('asyncapi.json')
const FILES = {
  'api.d.ts': `${HEADER.replace('FILE', 'openapi.json')}${typesOf(openapi.components.schemas)}\n${endpointsOf(openapi.paths)}`,
  'stream-api.d.ts': HEADER.replace('FILE', 'asyncapi.json') + typesOf(asyncapi.components.schemas),
}
for (const [name, text] of Object.entries(FILES)) {
  const file = new URL(`../src/client/${name}`, import.meta.url)
  if (!process.argv.includes('--check')) writeFileSync(file, text)
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`src/client/${name} is not what the documents say: run \`npm run openapi\` and commit it`)
    process.exitCode = 1
  }
}
