/** The OpenAPI 3.1 document, generated from the zod schemas; `openapi/openapi.json` is its committed copy. */
import * as z from 'zod'
import { PROBLEMS } from '../errors.ts'
import { ENDPOINTS } from '../routes/endpoints.ts'
import { PlanRequest } from '../routes/plan-route.ts'
import { HealthAnswer, PlanAnswer, ProblemAnswer } from './answer.ts'
import { EXAMPLES, type Example } from './examples.ts'

type Json = Record<string, unknown>

const JSON_TYPE = 'application/json'
const SAFETENSORS_TYPE = 'application/x-safetensors'
const VALUE_TYPES = ['float64', 'float32', 'float16', 'bfloat16']
const NON_FINITE = { type: 'string', enum: ['NaN', 'Infinity', '-Infinity'] }

/** Tensors are written by hand: zod never looks at their elements. */
const TENSORS: Record<string, Json> = {
  Tensor: {
    description:
      'A tensor in any of three forms: nested arrays (rank = depth), `{shape, data}` (row-major, optional dtype), or ' +
      '`{shape, dtype, base64}` (little-endian, row-major bytes). Non-finite numbers are the strings "NaN", "Infinity", "-Infinity".',
    anyOf: [ref('NestedTensor'), ref('FlatTensor'), ref('Base64Tensor')],
  },
  NestedTensor: {
    type: 'array',
    description: 'Nested arrays, regular in every axis; all numbers, or all booleans.',
    items: { anyOf: [{ type: 'number' }, { type: 'boolean' }, NON_FINITE, ref('NestedTensor')] },
  },
  FlatTensor: {
    type: 'object',
    description: 'The shape, and the elements in row-major order.',
    properties: {
      shape: ref('Shape'),
      dtype: ref('ElementType'),
      data: { type: 'array', items: { anyOf: [{ type: 'number' }, { type: 'boolean' }, NON_FINITE] } },
    },
    required: ['shape', 'data'],
    additionalProperties: false,
  },
  Base64Tensor: {
    type: 'object',
    description: 'The shape, and the elements as little-endian, row-major bytes in standard padded base64.',
    properties: {
      shape: ref('Shape'),
      dtype: ref('ElementType'),
      base64: { type: 'string', contentEncoding: 'base64' },
    },
    required: ['shape', 'dtype', 'base64'],
    additionalProperties: false,
  },
  AnswerTensor: {
    description: 'A tensor in the form that the request’s `encoding` names; a number for a tensor of rank 0.',
    anyOf: [ref('NestedTensor'), ref('FlatTensor'), ref('Base64Tensor')],
  },
  Shape: { type: 'array', items: { type: 'integer', minimum: 0 }, maxItems: 8 },
  ElementType: { type: 'string', enum: [...VALUE_TYPES, 'bool', 'int32', 'int64'] },
}

export function openApiDocument(version: string): Json {
  const components: Record<string, Json> = {}
  const add = (schema: z.ZodType, io: 'input' | 'output' = 'input') => component(schema, io, components)
  const paths: Record<string, Json> = {}
  for (const endpoint of ENDPOINTS) {
    const request = add(endpoint.request)
    const answer = add(endpoint.answer)
    const examples = EXAMPLES.filter(({ path }) => path === endpoint.path)
    paths[endpoint.path] = {
      post: computeOperation(endpoint.name, endpoint.summary, request, answer, examples),
    }
  }
  const planExamples = EXAMPLES.filter(({ path }) => path === '/v1/plan')
  paths['/v1/plan'] = { post: planOperation(add(PlanRequest), add(PlanAnswer), planExamples) }
  Object.assign(paths, operationalPaths(add(HealthAnswer)))
  add(ProblemAnswer)
  return {
    openapi: '3.1.0',
    info: {
      title: 'attention-server',
      version,
      summary: 'Attention over HTTP: outputs, attention weights and gradients',
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'this server' }],
    security: [],
    tags: [
      { name: 'compute', description: 'Attention and its gradients' },
      { name: 'operation', description: 'Health, metrics and documents of the server itself' },
    ],
    paths,
    components: { schemas: { ...components, ...TENSORS } },
  }
}

const ABOUT = `Every tensor may come as JSON (nested, flat or base64) or in a safetensors file, and go out as either:
\`Content-Type\` says what the body is, \`Accept\` what the answer shall be.

**safetensors**: the tensors carry the field names of the JSON body (\`q\`, \`k\`, \`backward.grad_output\`, …); everything that
is no tensor is one JSON string in \`__metadata__\` under \`request\`. The answer has \`output\`, \`weights\`, \`grads.q\`, … and the
rest of it as one JSON string under \`response\`.

A JSON member that is \`null\` counts as absent. The same request gives the same bits, whatever the load. A row with nothing
to attend gives zeros (and logsumexp −∞); a masked position leaks nothing, not even a NaN that stands there.

Every answer has \`x-request-id\` and \`Server-Timing\` (decode, queue, compute, encode in milliseconds). Every error is
\`application/problem+json\` (RFC 9457) with one of the codes: ${Object.entries(PROBLEMS)
  .filter(([, { status }]) => status !== 499)
  .map(([code, { status }]) => `\`${code}\` (${status})`)
  .join(', ')}.`

function computeOperation(
  name: string,
  summary: string,
  request: Json,
  answer: Json,
  examples: Example[],
): Json {
  const binary = {
    schema: { type: 'string', contentMediaType: SAFETENSORS_TYPE, description: 'a safetensors file' },
  }
  return {
    operationId: name,
    summary,
    tags: ['compute'],
    requestBody: {
      required: true,
      content: {
        [JSON_TYPE]: { schema: request, examples: named(examples, ({ request: value }) => value) },
        [SAFETENSORS_TYPE]: binary,
      },
    },
    responses: {
      200: {
        description: 'The answer, in the form that Accept asks for',
        content: {
          [JSON_TYPE]: { schema: answer, examples: named(examples, ({ response }) => response) },
          [SAFETENSORS_TYPE]: binary,
        },
      },
      ...problems('400', '413', '415', '500', '503', '504'),
    },
  }
}

function planOperation(request: Json, answer: Json, examples: Example[]): Json {
  return {
    operationId: 'plan',
    summary:
      'What a request would take: shapes, FLOPs, bytes, and whether it would be admitted; computes nothing',
    tags: ['compute'],
    requestBody: {
      required: true,
      content: { [JSON_TYPE]: { schema: request, examples: named(examples, ({ request: value }) => value) } },
    },
    responses: {
      200: { description: 'The plan', content: { [JSON_TYPE]: { schema: answer } } },
      ...problems('400', '413', '415', '503'),
    },
  }
}

function operationalPaths(health: Json): Record<string, Json> {
  const get = (operationId: string, summary: string, type: string, schema: Json, more: Json = {}) => ({
    get: {
      operationId,
      summary,
      tags: ['operation'],
      responses: {
        200: { description: summary, content: { [type]: { schema } } },
        ...problems('400'),
        ...more,
      },
    },
  })
  const notReady = { 503: { description: 'draining', content: { [JSON_TYPE]: { schema: health } } } }
  return {
    '/health/live': get('live', 'The process is alive', JSON_TYPE, health),
    '/health/ready': get(
      'ready',
      'The server takes requests; with the kernels chosen',
      JSON_TYPE,
      health,
      notReady,
    ),
    '/metrics': get('metrics', 'Metrics in the Prometheus text format', 'text/plain', { type: 'string' }),
    '/openapi.json': get('openapi', 'This document', JSON_TYPE, { type: 'object' }),
  }
}

function problems(...statuses: string[]): Json {
  const entries = statuses.map(status => {
    const titles = Object.values(PROBLEMS).flatMap(({ status: of, title }) =>
      String(of) === status ? [title] : [],
    )
    const content = { 'application/problem+json': { schema: ref('Problem') } }
    return [status, { description: titles.join('; '), content }]
  })
  return Object.fromEntries(entries)
}

function named(examples: Example[], value: (example: Example) => unknown): Json {
  return Object.fromEntries(examples.map(each => [each.name, { summary: each.summary, value: value(each) }]))
}

/** Puts a schema and what it refers to among the components; returns a reference to it. */
function component(schema: z.ZodType, io: 'input' | 'output', components: Record<string, Json>): Json {
  const { $ref, $defs } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as {
    $ref: string
    $defs: Record<string, Json>
  }
  for (const [name, definition] of Object.entries($defs)) {
    if (!(name in TENSORS)) components[name] = relocate(definition) as Json
  }
  return relocate({ $ref }) as Json
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

function relocate(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(relocate)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).flatMap(([key, value]) => {
    if (key === 'id') return []
    if (key === '$ref' && typeof value === 'string')
      return [[key, value.replace('#/$defs/', '#/components/schemas/')]]
    return [[key, relocate(value)]]
  })
  return Object.fromEntries(entries)
}
