/** The OpenAPI 3.1 document, generated from the zod schemas; `openapi/openapi.json` is its committed copy. */
import type * as z from 'zod'
import { HealthAnswer, PlanAnswer, ProblemAnswer, TicketAnswer } from '../../endpoints/answers.ts'
import { PlanRequest } from '../../endpoints/plan.ts'
import { SERVED } from '../../endpoints/served.ts'
import { JobAnswer } from '../../jobs/answers.ts'
import { JobRequest } from '../../jobs/request.ts'
import { PROBLEMS } from '../../problem.ts'
import { component, type Json, TENSORS } from './components.ts'
import { EXAMPLES, type Example } from './examples.ts'
import { INFERENCE_PROBLEM, inferencePaths } from './inference-paths.ts'
import { jobPaths } from './jobs.ts'
import { modelPaths } from './model-paths.ts'
import { named, withoutSafeBounds } from './named.ts'
import { computeOperation, examplesOf, JSON_TYPE, problems } from './operations.ts'
import { orNull } from './or-null.ts'

export function openApiDocument(version: string): Json {
  const requests: Record<string, Json> = {}
  const answers: Record<string, Json> = {}
  const ask = (schema: z.ZodType) => component(schema, 'input', requests)
  const add = (schema: z.ZodType, io: 'input' | 'output' = 'input') => component(schema, io, answers)
  const paths: Record<string, Json> = {}
  for (const endpoint of SERVED) {
    const request = ask(endpoint.request)
    const answer = add(endpoint.answer)
    const examples = EXAMPLES.filter(({ path }) => path === endpoint.path)
    paths[endpoint.path] = {
      post: computeOperation(endpoint, request, answer, examples),
    }
  }
  const planExamples = EXAMPLES.filter(({ path }) => path === '/v1/plan')
  paths['/v1/plan'] = { post: planOperation(ask(PlanRequest), add(PlanAnswer), planExamples) }
  Object.assign(paths, modelPaths(ask, add))
  Object.assign(paths, inferencePaths(ask, add))
  paths['/v1/stream'] = { get: STREAM_OPERATION }
  paths['/v1/stream-ticket'] = { post: ticketOperation(add(TicketAnswer, 'output')) }
  add(ProblemAnswer)
  answers.InferenceProblem = INFERENCE_PROBLEM
  Object.assign(
    paths,
    jobPaths({ request: ask(JobRequest), job: add(JobAnswer, 'output') }),
    operationalPaths(add(HealthAnswer)),
  )
  return {
    openapi: '3.1.0',
    info: {
      title: 'attention-server',
      version,
      summary: 'Attention over HTTP: outputs, attention weights and gradients',
      description: ABOUT,
      contact: { name: 'attention-server' },
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'this server' }],
    security: [{ key: [] }, {}],
    tags: [
      { name: 'compute', description: 'Attention and its gradients' },
      {
        name: 'inference',
        description: 'The Open Inference Protocol, as Triton, KServe and their clients speak it',
      },
      { name: 'jobs', description: 'Computations that nobody waits for at a connection' },
      {
        name: 'models',
        description: 'Checkpoints of Hugging Face in MODELS_DIR, and `lesson`, which comes with the service',
      },
      { name: 'operation', description: 'Health, metrics and documents of the server itself' },
    ],
    paths,
    components: {
      schemas: named({ ...orNull(requests), ...withoutSafeBounds(answers), ...TENSORS }),
      securitySchemes: SECURITY_SCHEMES,
    },
  }
}

const SECURITY_SCHEMES = {
  key: {
    type: 'http',
    scheme: 'bearer',
    description: 'A key of the server, where it asks for one (`AUTH`)',
  },
}

const ABOUT = `Every tensor may come as JSON (nested, flat or base64) or in a safetensors file, and go out as either:
\`Content-Type\` says what the body is, \`Accept\` what the answer shall be.

**safetensors**: the tensors carry the field names of the JSON body (\`q\`, \`k\`, \`backward.grad_output\`, …); everything that
is no tensor is one JSON string in \`__metadata__\` under \`request\`. The answer has \`output\`, \`weights\`, \`grads.q\`, … and the
rest of it as one JSON string under \`response\`.

**Streams**: \`GET /v1/stream\` is a WebSocket that gives a transformer stack layer by layer; \`/asyncapi.json\` describes it.

A JSON member that is \`null\` counts as absent. The same request gives the same bits, whatever the load. A row with nothing
to attend gives zeros (and logsumexp −∞); a masked position leaks nothing, not even a NaN that stands there.

Every answer has \`x-request-id\` and \`Server-Timing\` (decode, queue, compute, encode in milliseconds). Every error is
\`application/problem+json\` (RFC 9457) with one of the codes: ${Object.entries(PROBLEMS)
  .filter(([, { status }]) => status !== 499)
  .map(([code, { status }]) => `\`${code}\` (${status})`)
  .join(', ')}.`

function planOperation(request: Json, answer: Json, examples: Example[]): Json {
  return {
    operationId: 'plan',
    summary:
      'What a request would take: shapes, FLOPs, bytes, and whether it would be admitted; computes nothing',
    tags: ['compute'],
    requestBody: {
      required: true,
      content: {
        [JSON_TYPE]: { schema: request, examples: examplesOf(examples, ({ request: value }) => value) },
      },
    },
    responses: {
      200: { description: 'The plan', content: { [JSON_TYPE]: { schema: answer } } },
      ...problems('400', '401', '403', '404', '408', '413', '415', '429', '503'),
    },
  }
}

/** Its messages are in the other document. */
const STREAM_OPERATION = {
  operationId: 'stream',
  summary: 'The handshake of the WebSocket (RFC 6455) that /asyncapi.json describes',
  tags: ['compute'],
  parameters: [
    {
      name: 'ticket',
      in: 'query',
      description: 'of `POST /v1/stream-ticket`, in place of a key',
      schema: { type: 'string' },
    },
  ],
  responses: {
    101: { description: 'The stream is open' },
    ...problems('401', '403', '426', '429', '503'),
  },
}

function ticketOperation(answer: Json): Json {
  return {
    operationId: 'streamTicket',
    summary: 'A ticket for one stream, once and soon: browsers cannot send a key with a WebSocket',
    tags: ['compute'],
    responses: {
      200: { description: 'The ticket', content: { [JSON_TYPE]: { schema: answer } } },
      ...problems('401', '403', '429'),
    },
  }
}

function operationalPaths(health: Json): Record<string, Json> {
  const get = (operationId: string, summary: string, type: string, schema: Json, more: Json = {}) => ({
    get: {
      operationId,
      summary,
      tags: ['operation'],
      // metrics may want a key
      ...(operationId !== 'metrics' && { security: [] }),
      responses: {
        200: { description: summary, content: { [type]: { schema } } },
        ...(operationId === 'metrics' && problems('401')),
        ...more,
      },
    },
  })
  const notReady = {
    503: {
      description: 'draining, or no compute worker is up',
      content: { [JSON_TYPE]: { schema: health } },
    },
  }
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
    '/openapi-3.0.json': get(
      'openapi30',
      'This document in OpenAPI 3.0.3, for generators of clients: JSON alone, tensors untyped',
      JSON_TYPE,
      { type: 'object' },
    ),
    '/asyncapi.json': get('asyncapi', 'The messages of /v1/stream, as AsyncAPI 3', JSON_TYPE, {
      type: 'object',
    }),
  }
}
