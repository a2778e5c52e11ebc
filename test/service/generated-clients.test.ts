/** What generators of clients need of the documents: a name for everything, unions that can be told apart, formats of numbers. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { VERSION } from '../../src/config.ts'
import { asyncApiDocument } from '../../src/http/docs/asyncapi.ts'
import { openApiDocument } from '../../src/http/docs/openapi.ts'
import { openApi30 } from '../../src/http/docs/openapi30.ts'

interface Schema {
  $ref?: string
  type?: string | string[]
  format?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: unknown
  exclusiveMaximum?: unknown
  default?: unknown
  enum?: unknown[]
  oneOf?: Schema[]
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  discriminator?: { propertyName: string; mapping: Record<string, string> }
}
type Schemas = Record<string, Schema>
interface Operation {
  operationId: string
  summary?: string
  tags?: string[]
  requestBody?: { content: Record<string, Content> }
  parameters?: { name: string; description?: string }[]
  responses: Record<string, { description?: string; content?: Record<string, Content> }>
}
interface Content {
  schema: Schema
  examples?: Record<string, { value: unknown }>
}
interface Document {
  info: { contact?: object }
  tags: { name: string; description?: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Schemas }
}

// as clients get them
const sent = (document: object): Document => JSON.parse(JSON.stringify(document))
const openapi = sent(openApiDocument(VERSION))
const older = sent(openApi30(openApiDocument(VERSION)))
const asyncapi = sent(asyncApiDocument(VERSION))
const METHODS = ['get', 'post', 'put', 'delete']
const operationsOf = ({ paths }: Document) =>
  Object.values(paths).flatMap(path => Object.entries(path).filter(([method]) => METHODS.includes(method)))
const operations = operationsOf(openapi)

/** Every schema, with where it stands. */
function* walk(schema: Schema, place: string): Generator<[string, Schema]> {
  yield [place, schema]
  const { properties = {}, items, additionalProperties, oneOf = [], anyOf = [] } = schema
  for (const [name, inner] of Object.entries(properties)) yield* walk(inner, `${place}.${name}`)
  if (items) yield* walk(items, `${place}[]`)
  if (typeof additionalProperties === 'object') yield* walk(additionalProperties, `${place}{}`)
  for (const [i, inner] of [...oneOf, ...anyOf].entries()) yield* walk(inner, `${place}|${i}`)
}

const all = (schemas: Schemas) => Object.entries(schemas).flatMap(([name, schema]) => [...walk(schema, name)])

describe.each([
  ['openapi.json', openapi.components.schemas],
  ['asyncapi.json', asyncapi.components.schemas],
])('%s', (_, schemas) => {
  it('has a name for every object, union and enumeration', () => {
    const nameless = all(schemas).filter(
      ([place, { $ref, enum: values, oneOf, anyOf, properties }]) =>
        !(place in schemas) && $ref === undefined && (values || oneOf || anyOf || properties),
    )
    expect(nameless.map(([place]) => place)).toEqual([])
  })

  it('has a schema for every name', () => {
    const references = all(schemas).flatMap(([, { $ref }]) => ($ref === undefined ? [] : [$ref]))
    expect(references.filter($ref => !($ref.replace('#/components/schemas/', '') in schemas))).toEqual([])
  })

  it('has no default at a union, and the format of every number', () => {
    for (const [place, { $ref, default: value, type, format }] of all(schemas)) {
      const target = schemas[$ref?.replace('#/components/schemas/', '') ?? '']
      if (value !== undefined && target) expect(target.oneOf, place).toBeUndefined()
      const types = [type].flat()
      if (types.includes('number')) expect(format, place).toBe('double')
      if (types.includes('integer')) expect(['int32', 'int64'], place).toContain(format)
    }
  })

  it('says int32 of what 32 bits always hold, and nothing by exclusive bounds', () => {
    for (const [place, schema] of all(schemas)) {
      const { type, format, minimum = -Infinity, maximum = Infinity } = schema
      expect(schema, place).not.toHaveProperty('exclusiveMinimum')
      expect(schema, place).not.toHaveProperty('exclusiveMaximum')
      if (![type].flat().includes('integer')) continue
      expect(format, place).toBe(minimum >= -(2 ** 31) && maximum < 2 ** 31 ? 'int32' : 'int64')
    }
    expect(schemas.Stack.properties?.layers.format).toBe('int32')
    // all that is less than 1
    const { minimum, maximum } = schemas.Dropout.properties?.p ?? {}
    expect([minimum, maximum]).toEqual([0, 1 - 2 ** -53])
  })

  it('has unions of disjoint forms, but for texts', () => {
    for (const [place, { type, anyOf }] of all(schemas)) if (anyOf) expect(type, place).toBe('string')
    const kindOf = (schema: Schema): string => {
      const target = schema.$ref && schemas[schema.$ref.replace('#/components/schemas/', '')]
      return target ? kindOf(target) : [schema.type ?? (schema.oneOf ? 'union' : 'any')].flat().join()
    }
    for (const [place, { oneOf = [], discriminator }] of all(schemas)) {
      if (discriminator) continue
      const kinds = oneOf.map(kindOf).filter(kind => !['union', 'object', 'array', 'string'].includes(kind))
      expect(new Set(kinds).size, place).toBe(kinds.length)
    }
  })
})

describe('openapi.json', () => {
  const { schemas } = openapi.components

  it('names what requests are made of', () => {
    const names = ['Window', 'Rope', 'Dropout', 'Causal', 'QkNorm', 'AttentionKind', 'RelativeBias', 'Init']
    expect(Object.keys(schemas)).toEqual(expect.arrayContaining(names))
    expect(schemas.AttentionRequest.properties?.backward.$ref).toMatch(/Backward$/)
    expect(schemas.AttentionAnswer.properties?.grads.$ref).toMatch(/Grads$/)
  })

  it('tells the members of a union apart by their kind where they have one', () => {
    const mapped = Object.entries(schemas).flatMap(([name, { discriminator }]) =>
      discriminator === undefined ? [] : [[name, discriminator] as const],
    )
    expect(mapped.map(([name]) => name)).toEqual(
      expect.arrayContaining(['AttentionKindOptions', 'QkNormOptions', 'PositionalEncodingRequest']),
    )
    for (const [name, { propertyName, mapping }] of mapped) {
      expect(propertyName).toBe('kind')
      const members = schemas[name].oneOf?.map(({ $ref }) => $ref)
      expect(new Set(Object.values(mapping)), name).toEqual(new Set(members))
    }
  })

  it('lets lists and maps of requests be null, and an answer’s tensor be a number', () => {
    expect(schemas.AttentionRequestBackward.properties?.wrt.type).toEqual(['array', 'null'])
    const asked = operations.flatMap(
      ([, { requestBody }]) => requestBody?.content['application/json'].schema.$ref ?? [],
    )
    const seen = new Set<string>()
    const visit = ($ref: string) => {
      const name = $ref.replace('#/components/schemas/', '')
      if (seen.has(name)) return
      seen.add(name)
      for (const [place, schema] of walk(schemas[name], name)) {
        if (schema.$ref) visit(schema.$ref)
        const { properties = {}, required = [] } = schema
        for (const [member, { type, properties: own, default: value }] of Object.entries(properties)) {
          const isMany = type === 'array' || (type === 'object' && own === undefined)
          if (isMany && value === undefined)
            expect([place, required]).toEqual([place, expect.arrayContaining([member])])
        }
      }
    }
    for (const $ref of asked) visit($ref)
    expect(seen.size).toBeGreaterThan(50)
    expect(schemas.AnswerTensor.oneOf).toContainEqual({ type: 'number', format: 'double' })
  })

  it('answers health with one type, whatever it is', () => {
    for (const path of ['/health/live', '/health/ready']) {
      for (const { content } of Object.values(openapi.paths[path].get.responses)) {
        expect(content).toEqual({
          'application/json': { schema: { $ref: '#/components/schemas/HealthAnswer' } },
        })
      }
    }
  })

  it('describes its tags, its answers and its parameters', () => {
    const named = openapi.tags.map(({ name, description }) => [name, typeof description])
    expect(named).toEqual(named.map(([name]) => [name, 'string']))
    for (const [, { operationId, tags = [], responses, parameters = [] }] of operations) {
      for (const tag of tags)
        expect(
          named.map(([name]) => name),
          operationId,
        ).toContain(tag)
      for (const { description } of Object.values(responses)) expect(description, operationId).toBeTruthy()
      for (const { name, description } of parameters)
        expect([operationId, name, description]).toEqual([operationId, name, expect.any(String)])
    }
  })

  it('says that a job of an unknown model is a 404', () => {
    expect(openapi.paths['/v1/jobs'].post.responses).toHaveProperty('404')
  })

  it('says what any operation of jobs may answer, and that events may have ended before', () => {
    const paths = Object.entries(openapi.paths).filter(([path]) => path.startsWith('/v1/jobs'))
    const ofJobs = paths.flatMap(([, operations]) => Object.values(operations))
    expect(ofJobs.map(({ operationId }) => operationId)).toHaveLength(5)
    for (const { operationId, responses } of ofJobs) {
      const wanted = ['400', '401', '403', '404', '429', '503']
      expect([operationId, Object.keys(responses)]).toEqual([operationId, expect.arrayContaining(wanted)])
    }
    const path = '/v1/jobs/{id}/events'
    const names = (document: Document) => document.paths[path].get.parameters?.map(({ name }) => name)
    expect(openapi.paths[path].get.responses).toHaveProperty('204')
    expect(names(openapi)).toEqual(['id', 'Last-Event-ID'])
    // a header that few send
    expect(names(older)).toEqual(['id'])
  })

  it('gives every operation an id of its own, a summary and a tag, and no GET errors of bodies', () => {
    const ids = operations.map(([, { operationId }]) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    expect(openapi.info.contact).toBeDefined()
    for (const [method, { operationId, summary, tags, requestBody, responses }] of operations) {
      expect([operationId, typeof summary, tags?.length]).toEqual([operationId, 'string', 1])
      if (method !== 'get') continue
      expect(requestBody, operationId).toBeUndefined()
      expect(Object.keys(responses), operationId).not.toContain('408')
      expect(Object.keys(responses), operationId).not.toContain('415')
    }
  })

  it.each([
    ['openapi.json', openapi],
    ['openapi-3.0.json', older],
  ])('has examples that its schemas accept: %s', (_, document) => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    ajv.addSchema({ $id: 'document', components: document.components })
    let checked = 0
    for (const [, { operationId, requestBody, responses }] of operationsOf(document)) {
      for (const content of [requestBody?.content, responses[200]?.content]) {
        const { schema, examples = {} } = content?.['application/json'] ?? {}
        for (const [name, { value }] of Object.entries(examples)) {
          if (value === undefined || schema?.$ref === undefined) continue
          const accepted = ajv.validate({ $ref: `document${schema.$ref}` }, value)
          expect([operationId, name, accepted, ajv.errors]).toEqual([operationId, name, true, null])
          checked++
        }
      }
    }
    expect(checked).toBeGreaterThan(20)
  })
})

describe('openapi-3.0.json', () => {
  it('has no recursion and one media type a body', () => {
    const { schemas } = older.components
    const reach = (name: string, way: string[]): void => {
      expect(way, name).not.toContain(name)
      const inside = JSON.stringify(schemas[name]).matchAll(/#\/components\/schemas\/(\w+)/g)
      for (const next of new Set([...inside].map(([, found]) => found))) reach(next, [...way, name])
    }
    for (const name of Object.keys(schemas)) reach(name, [])
    expect(JSON.stringify(older.paths)).not.toContain('text/event-stream')
    for (const path of Object.values(older.paths)) {
      for (const { requestBody } of Object.values(path)) {
        if (requestBody) expect(Object.keys(requestBody.content)).toEqual(['application/json'])
      }
    }
  })

  it('answers with one type where it succeeds and one where it does not, and a handshake with no body', () => {
    for (const [path, methods] of Object.entries(older.paths)) {
      for (const [method, { responses = {} }] of Object.entries(methods)) {
        if (!METHODS.includes(method)) continue
        const types = (wanted: RegExp) =>
          new Set(
            Object.entries(responses).flatMap(([status, { content }]) =>
              wanted.test(status) ? [JSON.stringify(content)] : [],
            ),
          )
        expect([path, types(/^[12]/).size]).toEqual([path, 1])
        expect(types(/^[45]/).size, path).toBeLessThanOrEqual(1)
        if (responses[101] !== undefined) expect([...types(/./)], path).toEqual([undefined])
      }
    }
  })
})
