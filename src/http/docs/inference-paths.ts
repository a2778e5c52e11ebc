/** The paths of the Open Inference Protocol in the OpenAPI document. */
import type * as z from 'zod'
import {
  InferenceAnswer,
  InferenceRequest,
  ModelConfiguration,
  ModelHealth,
  ModelList,
  ModelMetadata,
  RepositoryIndexAnswer,
  RepositoryIndexRequest,
  ServerHealth,
  ServerMetadata,
  StatisticsAnswer,
} from '../oip/schema.ts'
import { type Json, ref } from './components.ts'
import { JSON_TYPE, problems } from './operations.ts'

const BYTES_TYPE = 'application/octet-stream'
const LENGTH = 'Inference-Header-Content-Length'

/** A test executes it. */
export const INFERENCE_EXAMPLE = {
  request: {
    id: 'one',
    inputs: [
      { name: 'q', datatype: 'FP32', shape: [1, 1, 2, 2], data: [1, 0, 0, 1] },
      { name: 'k', datatype: 'FP32', shape: [1, 1, 2, 2], data: [1, 0, 0, 1] },
      { name: 'v', datatype: 'FP32', shape: [1, 1, 2, 2], data: [1, 2, 3, 4] },
    ],
    outputs: [{ name: 'output' }, { name: 'logsumexp' }],
    parameters: { causal: true, scale: 1, request: '{"window":{"left":0}}' },
  },
  response: {
    model_name: 'attention',
    model_version: '1',
    id: 'one',
    outputs: [
      { name: 'output', datatype: 'FP32', shape: [1, 1, 2, 2], data: [1, 2, 3, 4] },
      { name: 'logsumexp', datatype: 'FP32', shape: [1, 1, 2], data: [1, 1] },
    ],
  },
}

type Add = (schema: z.ZodType) => Json

export function inferencePaths(ask: Add, add: Add): Record<string, Json> {
  const refused = (...statuses: string[]) => inferenceProblems(problems(...statuses))
  const get = (operationId: string, summary: string, schema: z.ZodType, ...statuses: string[]) => ({
    operationId,
    summary,
    tags: ['inference'],
    responses: {
      200: { description: summary, content: { [JSON_TYPE]: { schema: add(schema) } } },
      ...refused(...statuses),
    },
  })
  const paths: Record<string, Json> = {
    '/v2': { get: get('inferenceServer', 'The server’s name, version and extensions', ServerMetadata) },
    '/v2/health/live': { get: get('inferenceServerLive', 'The process is alive', ServerHealth) },
    '/v2/health/ready': {
      get: get('inferenceServerReady', 'The server takes requests', ServerHealth, '503'),
    },
    '/v2/models': { get: get('inferenceModels', 'The models’ names', ModelList) },
    '/v2/models/stats': {
      get: get('inferenceStatistics', 'What all models have served so far', StatisticsAnswer),
    },
  }
  const request = ask(InferenceRequest)
  const answer = add(InferenceAnswer)
  for (const [path, suffix, ...parameters] of MODEL_PATHS) {
    const about = (operation: Json) => ({ parameters, get: operation })
    paths[path] = about(get(`inferenceModel${suffix}`, 'What a model takes and gives', ModelMetadata, '404'))
    paths[`${path}/ready`] = about(
      get(`inferenceModelReady${suffix}`, 'The model takes requests', ModelHealth, '404', '503'),
    )
    paths[`${path}/config`] = about(
      get(
        `inferenceModelConfiguration${suffix}`,
        'A model as Triton configures it',
        ModelConfiguration,
        '404',
      ),
    )
    paths[`${path}/stats`] = about(
      get(`inferenceModelStatistics${suffix}`, 'What a model has served so far', StatisticsAnswer, '404'),
    )
    const statuses = ['400', '404', '408', '413', '415', '500', '503', '504']
    paths[`${path}/infer`] = {
      parameters,
      post: infer(`infer${suffix}`, request, answer, refused(...statuses)),
    }
  }
  const content = { [JSON_TYPE]: { schema: ask(RepositoryIndexRequest) } }
  paths['/v2/repository/index'] = {
    post: {
      ...get('inferenceRepositoryIndex', 'The models, with their states', RepositoryIndexAnswer, '400'),
      requestBody: { required: false, content },
    },
  }
  return paths
}

function named(name: string, description: string): Json {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } }
}

const MODEL = named('model', '`attention`, `multi-head-attention`, `transformer`, …')
const VERSION = named('version', '`1`')

/** What a model is asked at, with and without its version; what operations are called there. */
const MODEL_PATHS: [path: string, suffix: string, ...parameters: Json[]][] = [
  ['/v2/models/{model}', '', MODEL],
  ['/v2/models/{model}/versions/{version}', 'Version', MODEL, VERSION],
]

const TEXT_LENGTH = {
  description: 'bytes of the JSON text, where bytes of tensors follow it',
  schema: { type: 'integer', format: 'int64', minimum: 0 },
}

function infer(operationId: string, request: Json, answer: Json, refused: Json): Json {
  const bytes = {
    schema: {
      type: 'string',
      contentMediaType: BYTES_TYPE,
      description: 'the same JSON text, then the bytes of its binary tensors in their order, nothing between',
    },
  }
  const example = { summary: 'Each row attends to itself alone, by a window' }
  return {
    operationId,
    summary: 'The endpoint of the same name as a model of the Open Inference Protocol, with the same bits',
    tags: ['inference'],
    parameters: [{ name: LENGTH, in: 'header', required: false, ...TEXT_LENGTH }],
    requestBody: {
      required: true,
      content: {
        [JSON_TYPE]: {
          schema: request,
          examples: { window: { ...example, value: INFERENCE_EXAMPLE.request } },
        },
        [BYTES_TYPE]: bytes,
      },
    },
    responses: {
      200: {
        description: 'The outputs that were asked for, in their order',
        headers: { [LENGTH]: TEXT_LENGTH },
        content: {
          [JSON_TYPE]: {
            schema: answer,
            examples: { window: { ...example, value: INFERENCE_EXAMPLE.response } },
          },
          [BYTES_TYPE]: bytes,
        },
      },
      ...refused,
    },
  }
}

/** Each with the text once more, where clients of the protocol look for it. */
export const INFERENCE_PROBLEM: Json = {
  type: 'object',
  description: 'A problem (RFC 9457) with its `detail` as `error` too',
  properties: {
    error: { type: 'string' },
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: { path: { type: 'string' }, message: { type: 'string' } },
        required: ['path', 'message'],
      },
    },
  },
  required: ['error', 'type', 'title', 'status', 'detail', 'code', 'request_id'],
}

function inferenceProblems(of: Json): Json {
  const content = { 'application/problem+json': { schema: ref('InferenceProblem') } }
  const entries = Object.entries(of).map(([status, response]) => [status, { ...(response as Json), content }])
  return Object.fromEntries(entries)
}
